"""The SQL files: they declare what the catalog holds, and can be applied in any order that their headers allow."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from migrations import objects
from migrations.handler import handler
from migrations.objects import FixedFileChanged, SqlFile, SqlObject
from tests.support.api import LambdaContext

FILES = {file.name: file for file in objects.files()}


@pytest.fixture
def owner(empty: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a migrated database as the owner of its objects."""
    handler({}, LambdaContext())
    with psycopg.connect(empty) as connection:
        connection.execute("set role chally_owner")
        connection.commit()
        yield connection


def test_files_and_catalog_agree_one_to_one(owner: psycopg.Connection[Any]) -> None:
    declared = sorted(found for file in FILES.values() for found in file.objects)
    assert len(declared) > 100
    assert objects.in_catalog(owner) == declared


def test_a_file_declares_objects_of_its_own_schema() -> None:
    elsewhere = [
        (file.name, found.name)
        for file in FILES.values()
        for found in file.objects
        if file.name.split("/")[0] != found.name.split(".")[0]
    ]
    # A lower context reads these under its own name; the context above that knows the answer provides them.
    assert sorted(elsewhere) == [
        ("challenges/reminders", "notifications.participations"),
        ("challenges/reminders", "notifications.windows"),
        ("identity/sessions", "core.identify"),
        ("proofs/window_proofs", "challenges.window_proofs"),
    ]


def test_headers_name_everything_that_a_file_needs(owner: psycopg.Connection[Any]) -> None:
    """Each file can be applied to a database that has the tables, and only the files that it requires."""
    fixed = {found for file in FILES.values() if file.fixed for found in file.objects}
    present = [found for found in objects.in_catalog(owner) if found not in fixed]
    for policy in (found.name.rpartition(".") for found in present if found.kind == "policy"):
        owner.execute(f"drop policy {policy[2]} on {policy[0]}".encode())
    for kind in ("view", "function"):
        names = ", ".join(found.name for found in present if found.kind == kind)
        owner.execute(f"drop {kind} {names} cascade".encode())
    assert objects.in_catalog(owner) == sorted(fixed)
    owner.commit()

    def apply(file: SqlFile) -> None:
        for required in file.requires:
            apply(FILES[required])
        owner.execute(file.statements.encode())

    for file in FILES.values():
        apply(file)
        owner.rollback()


def test_files_are_applied_after_those_that_they_require() -> None:
    names = [file.name for file in objects.files()]
    for file in FILES.values():
        assert all(names.index(required) < names.index(file.name) for required in file.requires)


def test_an_edited_file_replaces_what_it_declares(owner: psycopg.Connection[Any]) -> None:
    before = SqlFile(
        "core/example",
        """
create or replace function core.example() returns integer language sql return 1;
create policy example on core.limits for select to chally_app using (core.example() = 1);
revoke all on core.limits from chally_app;
grant select on core.limits to chally_app;
""",
    )
    after = SqlFile(
        "core/example",
        """
create or replace function core.example() returns integer language sql return 2;
create policy example on core.limits for select to chally_app using (core.example() = 2);
revoke all on core.limits from chally_app;
grant select (name) on core.limits to chally_app;
""",
    )
    assert objects.apply(owner, [before]) == ["core/example"]
    assert objects.apply(owner, [before]) == []
    assert objects.apply(owner, [after]) == ["core/example"]
    assert owner.execute("select core.example()").fetchone() == (2,)
    assert owner.execute("select qual from pg_policies where policyname = 'example'").fetchone() == (
        "(core.example() = 2)",
    )
    privileges = "select has_table_privilege('chally_app', 'core.limits', 'select'),"
    privileges += " has_column_privilege('chally_app', 'core.limits', 'name', 'select')"
    assert owner.execute(privileges.encode()).fetchone() == (False, True)


def test_a_file_that_fails_leaves_every_file_as_it_was(owner: psycopg.Connection[Any]) -> None:
    good = SqlFile("core/good", "create or replace function core.good() returns integer language sql return 1;")
    bad = SqlFile("core/bad", "create or replace function core.bad() returns integer language sql return missing();")
    with pytest.raises(psycopg.errors.UndefinedFunction):
        objects.apply(owner, [good, bad])
    owner.rollback()
    assert owner.execute("select to_regproc('core.good')").fetchone() == (None,)
    assert owner.execute("select from core.sql_files where name = 'core/good'").fetchone() is None


def test_a_fixed_file_cannot_change_once_it_is_applied(owner: psycopg.Connection[Any]) -> None:
    words = FILES["challenges/words"]
    assert words.fixed
    with pytest.raises(FixedFileChanged, match="new names"):
        objects.apply(owner, [SqlFile(words.name, words.text + "\n")])


def test_an_object_without_a_declaration_is_reported_and_kept(
    owner: psycopg.Connection[Any], logs: Callable[[], str]
) -> None:
    owner.execute("create function core.left_over() returns integer language sql return 1")
    owner.execute("create function core.actor(overload integer) returns integer language sql return 1")
    owner.commit()
    assert objects.report_undeclared(owner, list(FILES.values())) == [
        SqlObject("function", "core.actor"),
        SqlObject("function", "core.left_over"),
    ]
    assert '"undeclared_sql_objects"' in logs()
    assert owner.execute("select core.left_over()").fetchone() == (1,)
    # the explicit line that drops it
    objects.apply(owner, [SqlFile("core/example", "drop function if exists core.left_over(), core.actor(integer);")])
    assert objects.report_undeclared(owner, list(FILES.values())) == []


def test_every_order_that_the_headers_allow_gives_the_same_database(owner: psycopg.Connection[Any]) -> None:
    order = random.Random(7)
    remaining = [file for file in FILES.values() if not file.fixed]
    done = {file.name for file in FILES.values() if file.fixed}
    expected = objects.in_catalog(owner)
    while remaining:
        ready = [file for file in remaining if set(file.requires) <= done]
        file = order.choice(ready)
        owner.execute(file.statements.encode())
        remaining.remove(file)
        done.add(file.name)
    owner.commit()
    assert objects.in_catalog(owner) == expected


def releases(owner: psycopg.Connection[Any]) -> Callable[..., None]:
    """Deploys a release: the real files, and some more."""

    def deploy(*more: SqlFile) -> None:
        release = [*FILES.values(), *more]
        objects.start(owner, release)
        objects.apply(owner, release)

    return deploy


def test_a_redeploy_after_a_rollback_applies_a_moved_policy_again(owner: psycopg.Connection[Any]) -> None:
    loose = SqlFile("core/one", "create policy moved on core.limits to chally_app using (true);")
    emptied = SqlFile("core/one", "-- it moved")
    tight = SqlFile("core/two", "create policy moved on core.limits to chally_app using (false);")
    deploy = releases(owner)

    def policy() -> Any:
        return owner.execute("select qual from pg_policies where policyname = 'moved'").fetchone()

    deploy(loose)
    deploy(emptied, tight)
    assert policy() == ("false",)
    deploy(loose)
    assert policy() == ("true",)
    deploy(emptied, tight)
    assert policy() == ("false",)


def test_a_rollback_restores_what_the_newer_release_dropped(owner: psycopg.Connection[Any]) -> None:
    kept = SqlFile("core/one", "create policy kept on core.limits to chally_app using (true);")
    dropped = SqlFile("core/two", "drop policy if exists kept on core.limits;")
    deploy = releases(owner)
    count = "select count(*) from pg_policies where policyname = 'kept'"
    for release, policies in ((kept, 1), (dropped, 0), (kept, 1), (dropped, 0)):
        deploy(release)
        assert owner.execute(count.encode()).fetchone() == (policies,)


def test_files_revoke_every_right_that_they_do_not_grant(owner: psycopg.Connection[Any]) -> None:
    """So a grant that is removed from a file is gone after the next deploy."""
    rights = b"""
        select 'function', p.oid::regprocedure::text, a.grantee::regrole::text, a.privilege_type
        from pg_proc p cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where p.pronamespace::regnamespace::text = any (%(schemas)s)
        union all
        select 'relation', c.oid::regclass::text, a.grantee::regrole::text, a.privilege_type
        from pg_class c cross join aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as a
        where c.relkind in ('r', 'v') and c.relnamespace::regnamespace::text = any (%(schemas)s)
          and c.relname not in ('sql_files', 'schema_version')
        order by 1, 2, 3, 4
    """
    schemas = {"schemas": list(objects.SCHEMAS)}
    before = owner.execute(rights, schemas).fetchall()
    for schema in objects.SCHEMAS:
        owner.execute(f"grant all on all functions in schema {schema} to public, chally_app, chally_system".encode())
        owner.execute(f"grant all on all tables in schema {schema} to chally_app, chally_system".encode())
    owner.execute("revoke all on core.sql_files, core.schema_version from chally_app, chally_system")
    assert owner.execute(rights, schemas).fetchall() != before
    for file in FILES.values():
        owner.execute(file.statements.encode())
    assert owner.execute(rights, schemas).fetchall() == before


@pytest.mark.parametrize(
    "text",
    [
        "create materialized view core.x as select 1;",
        'create or replace function "core".x() returns integer language sql return 1;',
        "CREATE FUNCTION core.x() returns integer language sql return 1;",
        "create procedure core.x() language sql begin atomic; end;",
    ],
)
def test_a_statement_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="core/example: cannot read"):
        _ = SqlFile("core/example", text).objects


def test_comments_declare_nothing() -> None:
    file = SqlFile(
        "core/example",
        """
/*
create policy old on core.audit to chally_app using (true);
*/
create policy new -- on core.audit
on core.limits to chally_app using (true);
""",
    )
    assert file.objects == [SqlObject("policy", "core.limits.new")]
