"""Row-level security by the catalog: a table added without it fails here."""

import json
from typing import Any

import psycopg
import pytest

from chally import clock
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

SCHEMAS = ("core", "identity", "challenges", "proofs", "notifications", "privacy")


def tables(database: Database) -> list[tuple[Any, ...]]:
    return database.execute(
        "select n.nspname, c.relname, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner)"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'p') and n.nspname = any(%(schemas)s)",
        schemas=list(SCHEMAS),
    )


def test_every_table_forces_row_level_security_and_belongs_to_the_owner(database: Database) -> None:
    found = tables(database)
    assert len(found) >= 14
    lax = [
        f"{schema}.{table}"
        for schema, table, enabled, forced, owner in found
        if not (enabled and forced and owner == "chally_owner") and table not in ("schema_version", "sql_files")
    ]
    assert lax == []


def test_the_functions_roles_own_nothing_and_bypass_nothing(database: Database) -> None:
    roles = database.execute(
        "select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb from pg_roles"
        " where rolname in ('chally_app', 'chally_system') order by rolname"
    )
    assert roles == [("chally_app", False, False, False, False), ("chally_system", False, False, False, False)]
    owned = database.execute(
        "select count(*) from pg_class where pg_get_userbyid(relowner) in ('chally_app', 'chally_system')"
    )
    assert owned == [(0,)]


def test_the_app_reads_no_secrets_even_of_its_own_user(person: SignUp, database: Database) -> None:
    kari = person("kari")
    with psycopg.connect(database.app, autocommit=True) as app:
        app.execute("select set_config('chally.actor', %s, false)", [kari.user["id"]])
        assert app.execute("select username from identity.users").fetchall() == [("kari",)]
        for forbidden in (
            "select password_hash from identity.users",
            "select * from identity.refresh_tokens",
            "select * from identity.sessions",
            "select * from identity.registrations",
            "select * from identity.contacts",
            "select * from core.outbox",
            "select * from challenges.standings",
            "select * from notifications.reminders",
            "select * from proofs.fingerprints",
            """insert into core.outbox (topic, payload) values ('mail', '{}')""",
            "update identity.users set role = 'admin'",
            "update challenges.standings set points = 1000",
            "update challenges.windows set outcome = 'accepted'",
            "update challenges.windows set closes_at = 'infinity'",
            "insert into challenges.windows select * from challenges.windows",
            "update challenges.participants set timezone = 'UTC'",
            "update notifications.reminders set due_at = now()",
            "update proofs.proofs set status = 'accepted'",
            "insert into proofs.proofs (id) values (uuidv7())",
            "delete from proofs.proofs",
            "update challenges.challenges set participant_count = 0",
            "delete from challenges.participants",
            "create table public.mine (id int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(forbidden.encode())


def test_a_stranger_sees_no_row_of_a_challenge(person: SignUp, database: Database) -> None:
    owner, stranger = person("owner"), person("stranger")
    made = owner.post("/v1/challenges", challenge_body(clock.now()))
    assert made.status == 201
    with psycopg.connect(database.app, autocommit=True) as app:
        for actor, expected in ((owner.user["id"], 1), (stranger.user["id"], 0), ("", 0)):
            app.execute("select set_config('chally.actor', %s, false)", [actor])
            for table in ("challenges", "participants"):
                rows = app.execute(f"select count(*) from challenges.{table}".encode()).fetchone()
                assert rows == (expected,), (table, actor)
            windows = app.execute("select count(*) from challenges.windows").fetchone()
            assert (windows is not None and windows[0] > 0) == bool(expected)


def test_the_database_refuses_an_unknown_zone(person: SignUp, database: Database) -> None:
    """One unknown zone would fail the statement that computes everybody's windows."""
    kari = person("kari")
    kari.post("/v1/challenges", challenge_body(clock.now()))
    for table in ("challenges.challenges", "challenges.participants", "identity.users"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            database.execute(f"update {table} set timezone = 'nonsense'")


def test_nobody_writes_in_another_persons_name(person: SignUp, database: Database) -> None:
    owner, stranger = person("owner"), person("stranger")
    challenge = owner.post("/v1/challenges", challenge_body(clock.now())).json
    with psycopg.connect(database.app, autocommit=True) as app:
        app.execute("select set_config('chally.actor', %s, false)", [stranger.user["id"]])
        assert app.execute("update challenges.challenges set title = 'Mine'").rowcount == 0
        for statement in (
            "insert into core.idempotency_keys (user_id, key, fingerprint, status, headers, body)"
            " values (%(owner)s, 'k', '', 200, '{}', '')",
            "insert into core.audit (at, action, actor_id) values (now(), 'tested', %(owner)s)",
            "insert into challenges.challenges (owner_id, title, status, invite_code, timezone, starts_at, ends_at,"
            " rules) select %(owner)s, 't', 'draft', 'another', 'UTC', now(), now() + interval '1 day', '"
            + json.dumps(challenge["rules"])
            + "'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                app.execute(statement.encode(), {"owner": owner.user["id"]})
