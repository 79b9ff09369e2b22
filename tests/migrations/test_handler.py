"""The migration function, on databases of its own."""

import threading
from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from infra.local.postgres import Postgres
from infra.tools import schema
from migrations.handler import UnsafeRole, handler
from tests.support.api import LambdaContext

NEWER = "9999"  # a revision of a release to come


def test_a_second_run_touches_nothing(empty: str) -> None:
    first = handler({}, LambdaContext())
    with psycopg.connect(empty) as connection:
        # the id of the transaction that last wrote each object, and each recorded file
        query = """
            select 'class', oid::text, xmin::text from pg_class
            union all select 'function', oid::text, xmin::text from pg_proc
            union all select 'policy', oid::text, xmin::text from pg_policy
            union all select 'trigger', oid::text, xmin::text from pg_trigger
            union all select 'file', name, xmin::text from core.sql_files
            order by 1, 2
        """
        before = connection.execute(query).fetchall()
        assert handler({}, LambdaContext()) == first
        assert connection.execute(query).fetchall() == before


def test_the_functions_roles_make_no_temporary_tables(empty: str) -> None:
    handler({}, LambdaContext())
    with psycopg.connect(empty) as connection:
        for role in ("public", "chally_app", "chally_system"):
            may = "select has_database_privilege(%(role)s, current_database(), 'temp')"
            assert connection.execute(may.encode(), {"role": role}).fetchone() == (False,)


def test_objects_that_nobody_declares_are_counted_for_the_operator(
    empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handler({}, LambdaContext())
    assert "UndeclaredSqlObjects" not in capsys.readouterr().out
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("create function core.made_by_hand() returns integer language sql return 1")
    handler({}, LambdaContext())
    assert '"UndeclaredSqlObjects":[1.0]' in capsys.readouterr().out.replace(" ", "")


@pytest.mark.parametrize(
    ("grant", "revoke"),
    [
        ("alter role chally_app bypassrls", "alter role chally_app nobypassrls"),
        ("alter role chally_system superuser", "alter role chally_system nosuperuser"),
        ("grant chally_owner to chally_app", "revoke chally_owner from chally_app"),
        ("grant pg_read_all_data to chally_system", "revoke pg_read_all_data from chally_system"),
    ],
)
def test_a_deploy_refuses_a_role_that_row_level_security_would_not_limit(empty: str, grant: str, revoke: str) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(grant.encode())
        try:
            with pytest.raises(UnsafeRole, match=r"alter role chally_(app|system) nosuperuser"):
                handler({}, LambdaContext())
        finally:
            connection.execute(revoke.encode())
    assert handler({}, LambdaContext())["revision"]


@pytest.mark.long
def test_concurrent_deploys_take_turns(empty: str) -> None:
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(handler({}, LambdaContext()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert results[0] == results[1] == results[2]


def test_only_the_roles_of_the_product_may_connect(empty: str) -> None:
    handler({}, LambdaContext())
    with psycopg.connect(empty, autocommit=True) as connection:
        role = f"somebody_{uuid4().hex}"
        connection.execute(sql.SQL("create role {} login password 'x'").format(sql.Identifier(role)))
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(connection.info.dsn, user=role, password="x")
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_an_older_release_leaves_a_newer_schema_as_it_is(empty: str, logs: Callable[[], str]) -> None:
    """CloudFormation runs the older version against the newer schema when it rolls a release back."""
    handler({}, LambdaContext())
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("update core.schema_version set version_num = %s", [NEWER])
        connection.execute("update core.sql_files set sha256 = 'of the newer release'")
        before = schema.dump(empty)
        assert handler({}, LambdaContext()) == {"revision": NEWER}
        assert schema.dump(empty) == before
        assert connection.execute("select distinct sha256 from core.sql_files").fetchall() == [
            ("of the newer release",)
        ]
    assert '"message":"unknown_revision"' in logs()
    assert handler({}, LambdaContext()) == {"revision": NEWER}, "the lock was released"


def test_schema_sql_is_the_schema(postgres: Postgres, template: str) -> None:
    assert schema.dump(postgres.url(template)) == schema.SCHEMA.read_text(), "run `make schema`"
