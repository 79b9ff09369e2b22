"""What is held on people, from the catalog: a table or column that is added is exported and forgotten, or fails here.

The functions of migration 0007 are stored parsed, so Postgres knows which tables and columns they touch.
"""

import pytest

from identity.queries import people
from tests.support.database import Database
from tests.support.personal_data import tables

# What holds nothing on anybody.
NOBODYS = {
    "core.schema_version": "of Alembic",
    "core.sql_files": "of migrations.objects",
    "core.limits": "settings",
    "core.signing_keys": "our own, and public",
    "proofs.removals": "names of objects that are about to be deleted",
    "core.rate_limits": "hashes of who asked; each lapses within a day, and is swept the night after",
}
# What an export leaves out: secrets, copies of what it has elsewhere, and the machinery's own.
WITHHELD = {
    "core.idempotency_keys": {"fingerprint", "headers", "body"},
    "core.outbox": {"traceparent", "last_error"},
    "challenges.challenges": {"invite_code_number", "runs_since"},
    "challenges.standings": {"grace_spent", "last_decided", "present"},
    "identity.users": {"password_hash"},
    "identity.refresh_tokens": {"hash", "generation"},
    "identity.registrations": {"token_hash", "password_hash"},
    "identity.mail_links": {"token_hash", "subject"},
    "identity.pending_sign_ins": {"token_hash"},
    "identity.totp": {"sealed_secret", "last_step"},
    "identity.backup_codes": {"code_hash"},
    "identity.passkey_challenges": {"challenge"},
    "identity.exports": {"object_key", "attempts", "leased_until"},
    # what a proof is like may be somebody else's
    "proofs.proofs": {
        *("object_key", "sequencer", "picture_key", "matched_proof_id", "matched_distance"),
    },
    "proofs.scans": {"version_id", "sequencer"},
    "proofs.fingerprints": {"comparable"},
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
    *(f"identity.{table}" for table in ("passkey_challenges", "exports")),
}


def columns(database: Database) -> set[tuple[str, str]]:
    rows = database.execute(
        "select n.nspname || '.' || c.relname, a.attname from pg_attribute a"
        " join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'p') and c.relowner = 'chally_owner'::regrole and a.attnum > 0 and not attisdropped"
    )
    return {(table, column) for table, column in rows if table not in NOBODYS}


def touched(database: Database, function: str) -> set[tuple[str, str]]:
    """The (table, column) pairs that the functions of this name read or write, each of the tables of its own schema."""
    rows = database.execute(
        "select n.nspname || '.' || c.relname, a.attname"
        " from pg_depend d join pg_proc p on p.oid = d.objid join pg_class c on c.oid = d.refobjid"
        " join pg_namespace n on n.oid = c.relnamespace"
        " join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid"
        " where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_class'::regclass"
        " and p.proname = %(function)s and p.pronamespace = c.relnamespace",
        function=function,
    )
    return {(table, column) for table, column in rows}


def test_every_context_exports_and_forgets(database: Database) -> None:
    found = database.execute(
        "select p.proname, array_agg(n.nspname::text) from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where p.proname in ('export_person', 'forget_person') group by 1"
    )
    schemas = {table.split(".")[0] for table in tables(database)}
    assert {name: set(contexts) for name, contexts in found} == {
        "export_person": schemas,
        "forget_person": schemas,
    }
    assert set(people.CONTEXTS) == schemas


def test_every_column_is_exported_or_withheld_for_a_reason(database: Database) -> None:
    withheld = {(table, column) for table, names in WITHHELD.items() for column in names}
    assert columns(database) - touched(database, "export_person") == withheld


def test_every_column_is_forgotten_or_kept_for_a_reason(database: Database) -> None:
    kept = {(table, column) for table, names in KEPT.items() for column in names}
    of_rows_that_stay = {(table, column) for table, column in columns(database) if table not in DELETED | STAY}
    assert of_rows_that_stay - touched(database, "forget_person") == kept
    assert {table for table, _ in touched(database, "forget_person")} == DELETED | KEPT.keys()


def test_the_lists_are_of_tables_that_there_are(database: Database) -> None:
    assert set(tables(database)) == NOBODYS.keys() | KEPT.keys() | STAY | DELETED


@pytest.mark.parametrize("function", ["export_person", "forget_person", "objects_of_person"])
def test_the_system_alone_may_call_them_with_its_own_rights(database: Database, function: str) -> None:
    found = database.execute(
        "select pg_get_userbyid(proowner), prosecdef, has_function_privilege('chally_app', oid, 'execute'),"
        " has_function_privilege('chally_system', oid, 'execute') from pg_proc where proname = %(function)s",
        function=function,
    )
    assert set(found) == {("chally_owner", False, False, True)}
