"""Every right of the functions' two roles in the database, exactly: one that is not in these tables fails here, and so
does a missing one.

`chally_app` acts in the name of one person, behind row-level security. `chally_system` runs jobs and sign-in: it sees
every row, and writes only what some function's code writes.
"""

from migrations.objects import SCHEMAS
from tests.support.database import Database

READ, ADD, CHANGE, DELETE = "select", "insert", "update", "delete"
ALL = {READ, ADD, CHANGE, DELETE}

APP_TABLES: dict[str, set[str]] = {
    "challenges.challenges": {
        READ,
        "insert (created_at, description, ends_at, invite_code, late_join, max_participants, "
        "owner_id, roster_visibility, rules, search, starts_at, status, timezone, title, visibility)",
        "update (description, late_join, max_participants, roster_visibility, search, title, visibility)",
    },
    "challenges.participants": {READ},
    "challenges.window_proofs": {READ},
    "challenges.windows": {READ},
    "core.audit": {"insert (action, actor_id, at, detail, ip, request_id, session_id, user_agent, user_id)"},
    "core.idempotency_keys": {READ, ADD, CHANGE},
    "core.signing_keys": {READ},
    "identity.profiles": {READ},
    "identity.users": {
        "select (created_at, deleted_at, email, email_verified_at, id, quiet_from, quiet_to, role, "
        "timezone, username, wants_reminders)"
    },
    "proofs.proofs": {READ},
}
"""Table or view → rights on all of it, or on some columns: `right (column, column)`."""

SYSTEM_TABLES: dict[str, set[str]] = {
    "challenges.challenges": {READ, "update (search)"},
    "challenges.participants": {READ},
    "challenges.standings": {
        READ,
        "update (accepted, best_streak, current_streak, grace_spent, last_decided, missed, points)",
    },
    "challenges.window_proofs": {READ},
    "challenges.windows": {READ, "update (outcome)"},
    "core.audit": {READ, ADD, DELETE, "update (ip, user_agent)"},
    "core.idempotency_keys": ALL,
    "core.limits": {READ},
    "core.outbox": ALL,
    "core.rate_limits": {READ, DELETE},
    "core.signing_keys": {READ, ADD, "update (verifies_until)"},
    "identity.backup_codes": ALL,
    "identity.contacts": {READ},
    "identity.login_failures": ALL,
    "identity.mail_links": ALL,
    "identity.passkey_challenges": {READ, ADD, DELETE},
    "identity.passkeys": ALL,
    "identity.pending_sign_ins": ALL,
    "identity.profiles": {READ},
    "identity.refresh_tokens": {READ, ADD, DELETE},
    "identity.registrations": ALL,
    "identity.sessions": ALL,
    "identity.totp": ALL,
    "identity.users": {READ, ADD, CHANGE},
    "notifications.participations": {READ},
    "notifications.reminders": {READ, CHANGE, DELETE},
    "notifications.windows": {READ},
    "privacy.exports": ALL,
    "proofs.fingerprints": ALL,
    "proofs.proofs": ALL,
    "proofs.removals": {READ, ADD, DELETE},
    "proofs.scans": ALL,
}

APP_FUNCTIONS = {
    "challenges.change_own_zone",
    "challenges.check_owned_quota",
    "challenges.check_rules",
    "challenges.compute_windows",
    "challenges.count_participants_now",
    "challenges.discover",
    "challenges.effective_windows",
    "challenges.find_public",
    "challenges.join",
    "challenges.leave",
    "challenges.participations_in_account_zone",
    "challenges.precompute_own_windows",
    "challenges.ranking",
    "challenges.remove",
    "challenges.reschedule",
    "challenges.schedule",
    "challenges.set_invite_code",
    "challenges.set_status",
    "challenges.shows_roster",
    "challenges.takes_part",
    "challenges.tokens",
    "challenges.windows_after_zone_change",
    "challenges.words",
    "core.actor",
    "core.check_present",
    "core.claim_key",
    "core.clock_tolerance",
    "core.identify",
    "core.instants",
    "core.moderates",
    "core.take",
    "identity.live_session",
    "proofs.is_visible",
    "proofs.shows_details",
}

SYSTEM_FUNCTIONS = {
    "challenges.change_account_zone",
    "challenges.change_participant_zone",
    "challenges.compute_windows",
    "challenges.effective_windows",
    "challenges.participations_in_account_zone",
    "challenges.plan_reminders",
    "challenges.precompute_own_windows",
    "challenges.precompute_windows",
    "challenges.schedule",
    "challenges.shows_roster",
    "challenges.takes_part",
    "challenges.tokens",
    "challenges.windows_after_zone_change",
    "challenges.words",
    "core.actor",
    "core.claim_key",
    "core.identify",
    "core.instants",
    "core.moderates",
    "core.take",
    "identity.live_session",
    "notifications.due_instant",
    "notifications.quiet_spans",
    "notifications.replan_reminders",
    "notifications.restore_reminder",
    "proofs.find_similar",
    "proofs.is_visible",
    "proofs.picture_prefix",
    "proofs.shows_details",
    "proofs.within_one_bit",
}


def on_tables(database: Database, role: str) -> dict[str, set[str]]:
    rows = database.execute(
        """
        select c.oid::regclass::text, lower(a.privilege_type), null
        from pg_class c cross join aclexplode(c.relacl) as a
        where c.relnamespace::regnamespace::text = any (%(schemas)s) and a.grantee::regrole::text = %(role)s
        union all
        select c.oid::regclass::text, lower(a.privilege_type), string_agg(t.attname, ', ' order by t.attname)
        from pg_class c join pg_attribute t on t.attrelid = c.oid cross join aclexplode(t.attacl) as a
        where c.relnamespace::regnamespace::text = any (%(schemas)s) and a.grantee::regrole::text = %(role)s
        group by 1, 2
        """,
        schemas=list(SCHEMAS),
        role=role,
    )
    rights: dict[str, set[str]] = {}
    for table, right, columns in rows:
        rights.setdefault(table, set()).add(f"{right} ({columns})" if columns else right)
    return rights


def on_functions(database: Database, grantee: str) -> set[str]:
    rows = database.execute(
        """
        select distinct n.nspname || '.' || p.proname
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where n.nspname = any (%(schemas)s)
          and case when a.grantee = 0 then 'public' else a.grantee::regrole::text end = %(grantee)s
        """,
        schemas=list(SCHEMAS),
        grantee=grantee,
    )
    return {name for (name,) in rows}


def normalised(tables: dict[str, set[str]]) -> dict[str, set[str]]:
    """The columns of each right in the order of the alphabet."""

    def right(text: str) -> str:
        name, _, columns = text.partition(" (")
        listed = ", ".join(sorted(part.strip() for part in columns.rstrip(")").split(",")))
        return f"{name} ({listed})" if columns else name

    return {table: {right(each) for each in rights} for table, rights in tables.items()}


def test_the_app_has_these_rights_on_tables_and_no_others(database: Database) -> None:
    assert on_tables(database, "chally_app") == normalised(APP_TABLES)


def test_the_system_has_these_rights_on_tables_and_no_others(database: Database) -> None:
    assert on_tables(database, "chally_system") == normalised(SYSTEM_TABLES)


def test_the_app_may_call_these_functions_and_no_others(database: Database) -> None:
    assert on_functions(database, "chally_app") == APP_FUNCTIONS


def test_the_system_may_call_these_functions_and_no_others(database: Database) -> None:
    assert on_functions(database, "chally_system") == SYSTEM_FUNCTIONS


def test_nothing_is_open_to_everyone(database: Database) -> None:
    assert on_tables(database, "-") == {}
    assert on_functions(database, "public") == set()


def test_nobody_may_pass_a_right_on(database: Database) -> None:
    grantable = database.execute(
        "select c.oid::regclass::text from pg_class c cross join aclexplode(c.relacl) as a"
        " where a.is_grantable and a.grantee <> c.relowner union all"
        " select p.oid::regprocedure::text from pg_proc p cross join aclexplode(p.proacl) as a"
        " where a.is_grantable and a.grantee <> p.proowner"
    )
    assert grantable == []


def test_functions_that_run_as_the_owner_set_their_search_path(database: Database) -> None:
    """Otherwise the caller's path could lead them to other objects."""
    unsafe = database.execute(
        "select p.oid::regprocedure::text from pg_proc p where p.prosecdef"
        " and p.pronamespace::regnamespace::text = any (%(schemas)s)"
        " and p.prosqlbody is null and not coalesce('search_path=\"\"' = any (p.proconfig), false)",
        schemas=list(SCHEMAS),
    )
    assert unsafe == []
