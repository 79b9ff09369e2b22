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
