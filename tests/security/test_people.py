"""Personal data is complete: a new table or column is exported and forgotten, or a test here fails.

The statements of every `personal_data` module are recorded and stored as SQL functions, whose dependencies in the
catalog tell which tables and columns they touch.
"""

import importlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import psycopg

from migrations.objects import SCHEMAS
from tests.support.database import Database
from tests.support.personal_data import tables

MODULES = {schema: f"{'chally' if schema == 'core' else schema}.personal_data" for schema in SCHEMAS}
# Tables without personal data.
NOBODYS = {
    "core.schema_version": "of Alembic",
    "core.sql_files": "of migrations.objects",
    "core.limits": "settings",
    "core.signing_keys": "our own, and public",
    "proofs.removals": "names of objects that are about to be deleted",
    "core.rate_limits": "hashes of who asked; each lapses within a day, and is swept the night after",
}
# An export omits these: secrets, copies of exported data, and technical columns.
WITHHELD = {
    "core.idempotency_keys": {"fingerprint", "headers", "body"},
    "core.outbox": {"traceparent", "last_error"},
    "challenges.challenges": {"invite_code_number", "runs_since", "search"},
    "challenges.standings": {"grace_spent", "last_decided", "present"},
    "identity.users": {"password_hash"},
    "identity.refresh_tokens": {"hash", "generation"},
    "identity.registrations": {"token_hash", "password_hash"},
    "identity.mail_links": {"token_hash", "subject"},
    "identity.pending_sign_ins": {"token_hash"},
    "identity.totp": {"sealed_secret", "last_step"},
    "identity.backup_codes": {"code_hash"},
    "identity.passkey_challenges": {"challenge"},
    "privacy.exports": {"object_key", "attempts", "leased_until"},
    # the similar proof may be another person's
    "proofs.proofs": {
        *("object_key", "sequencer", "picture_key", "matched_proof_id", "matched_distance"),
    },
    "proofs.scans": {"version_id", "sequencer"},
    # packed pixels of the upload, which the export has in full
    "proofs.fingerprints": {"comparable", "graphic"},
}
# What stays of a person who is forgotten, in rows that are not deleted: other people's standings are made of it, and
# nothing in it says who that was.
KEPT = {
    "core.audit": {"id", "at", "action", "session_id", "request_id", "detail"},
    "identity.users": {"created_at", "deleted_at", "purged_at"},
    "proofs.proofs": {
        *("challenge_id", "participant_id", "local_date", "opens_at", "closes_at", "status"),
        *("content_type", "content_length", "stored_at", "decided_at", "created_at"),
        *("tzdata", "matched_proof_id", "matched_distance", "appealed_at", "review", "reviewed_at"),
    },
}
# Of these nothing is forgotten at all: a challenge is its participants' as well, and the rest is what they did.
STAY = {"challenges.challenges", "challenges.participants", "challenges.windows", "challenges.standings"}
# Of these every row goes.
DELETED = {
    "core.idempotency_keys",
    "core.outbox",
    "proofs.fingerprints",
    "proofs.scans",
    "notifications.reminders",
    *(f"identity.{table}" for table in ("sessions", "refresh_tokens", "registrations", "mail_links", "login_failures")),
    *(f"identity.{table}" for table in ("pending_sign_ins", "totp", "backup_codes", "passkeys")),
    "identity.passkey_challenges",
    "privacy.exports",
}


def columns(database: Database) -> set[tuple[str, str]]:
    rows = database.execute(
        "select n.nspname || '.' || c.relname, a.attname from pg_attribute a"
        " join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'p') and c.relowner = 'chally_owner'::regrole and a.attnum > 0 and not attisdropped"
    )
    return {(table, column) for table, column in rows if table not in NOBODYS}


class Recorder:
    """Stands in for a transaction: keeps each statement with its parameters filled in."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._cursor = psycopg.ClientCursor(connection)
        self.statements: list[str] = []

    def run(self, sql: str, params: Mapping[str, object]) -> None:
        self.statements.append(self._cursor.mogrify(sql.encode(), params))

    value = run


def touched(database: Database, operation: str) -> set[tuple[str, str]]:
    """The (table, column) pairs that a context's `export` or `forget` reads or writes in its own schema."""
    found: set[tuple[str, str]] = set()
    with psycopg.connect(database.url) as connection:
        for schema, module in MODULES.items():
            recorder = Recorder(connection)
            email = {"email": "kari@people.test"} if schema == "core" else {}
            getattr(importlib.import_module(module), operation)(recorder, UUID(int=0), **email)
            for number, statement in enumerate(recorder.statements):
                connection.execute(
                    f"create function {schema}.recorded_{number}() returns void language sql"
                    f" begin atomic {statement}; end".encode()
                )
        rows = connection.execute(
            "select n.nspname || '.' || c.relname, a.attname"
            " from pg_depend d join pg_proc p on p.oid = d.objid join pg_class c on c.oid = d.refobjid"
            " join pg_namespace n on n.oid = c.relnamespace"
            " join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid"
            " where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_class'::regclass"
            " and p.proname like 'recorded%' and p.pronamespace = c.relnamespace"
        ).fetchall()
        found = {(str(table), str(column)) for table, column in rows}
        connection.rollback()
    return found


def test_every_schema_with_tables_has_a_module(database: Database) -> None:
    assert {table.split(".")[0] for table in tables(database)} == MODULES.keys()


def test_every_column_is_exported_or_withheld_for_a_reason(database: Database) -> None:
    withheld = {(table, column) for table, names in WITHHELD.items() for column in names}
    assert columns(database) - touched(database, "export") == withheld


def test_every_column_is_forgotten_or_kept_for_a_reason(database: Database) -> None:
    kept = {(table, column) for table, names in KEPT.items() for column in names}
    of_rows_that_stay = {(table, column) for table, column in columns(database) if table not in DELETED | STAY}
    forgotten = touched(database, "forget")
    assert of_rows_that_stay - forgotten == kept
    assert {table for table, _ in forgotten} == DELETED | KEPT.keys()


def test_the_lists_name_exactly_the_existing_tables(database: Database) -> None:
    assert set(tables(database)) == NOBODYS.keys() | KEPT.keys() | STAY | DELETED
