"""What a person with the password of the app's role could try by SQL, on the clock that is deployed.

The role acts in the name of one person, in the present, by the functions that routes call. These tests try everything
else: other people's participations, other instants, other releases of time zones, a challenge that has started.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
import pytest

from chally import clock
from chally.zones import tzdata_version
from tests.support.challenges import RULES, challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

DEPLOYED_CLOCK = (
    "create or replace function core.clock_tolerance() returns interval language sql stable return interval '5 minutes'"
)


@dataclass(frozen=True)
class App:
    """A connection of the app's role, a challenge that has started with a member, and one that has not."""

    database: Database
    connection: psycopg.Connection[Any]
    ids: dict[str, Any]

    def act_as(self, name: str) -> None:
        self.connection.execute("select set_config('chally.actor', %s, false)", [self.ids[name]])

    def run(self, statement: LiteralString) -> Any:
        cursor = self.connection.execute(statement, self.ids)
        return cursor.fetchall() if cursor.description else cursor.rowcount

    def windows(self) -> list[tuple[Any, ...]]:
        return self.database.execute("select * from challenges.windows order by participant_id, local_date")


@pytest.fixture
def app(person: SignUp, database: Database) -> Iterator[App]:
    people = {name: person(name) for name in ("owner", "member", "stranger")}
    started = people["owner"].post("/v1/challenges", challenge_body(clock.now())).json
    starts_at = (clock.now().replace(year=clock.now().year + 1)).isoformat()
    ends_at = (clock.now().replace(year=clock.now().year + 2)).isoformat()
    ahead = people["owner"].post("/v1/challenges", challenge_body(clock.now(), starts_at=starts_at, ends_at=ends_at))
    assert people["member"].post(f"/v1/challenges/{started['invite_code']}/join").status == 201
    ids: dict[str, Any] = {name: client.user["id"] for name, client in people.items()}
    ids |= {"started": started["id"], "ahead": ahead.json["id"], "code": started["invite_code"]}
    ids["rules"] = json.dumps(started["rules"])
    ((ids["place"],),) = database.execute("select id from challenges.participants where user_id = %(member)s", **ids)
    database.execute("delete from challenges.windows where opens_at > now()")
    database.execute(DEPLOYED_CLOCK)
    with psycopg.connect(database.app, autocommit=True) as connection:
        yield App(database, connection, ids)


class TestOtherPeople:
    """Functions act for the actor alone."""

    def test_nobody_stores_windows_for_others(self, app: App) -> None:
        before = app.windows()
        for name in ("stranger", "owner"):
            app.act_as(name)
            app.run("select challenges.precompute_own_windows(%(place)s, now())")
        assert app.windows() == before
        app.act_as("member")
        app.run("select challenges.precompute_own_windows(%(place)s, now())")
        assert len(app.windows()) > len(before)

    def test_nobody_moves_others_to_another_zone(self, app: App) -> None:
        zone = "select timezone from challenges.participants where id = %(place)s"
        for name, expected in (("stranger", "Europe/Berlin"), ("owner", "Europe/Berlin"), ("member", "Asia/Tokyo")):
            app.act_as(name)
            app.run("select challenges.change_own_zone(%(place)s, 'Asia/Tokyo', now())")
            assert app.database.execute(zone, **app.ids) == [(expected,)]

    def test_nobody_edits_the_challenges_of_others(self, app: App) -> None:
        before = app.database.execute("select * from challenges.challenges order by id")
        app.act_as("member")
        for statement in (
            "select challenges.reschedule(%(ahead)s, 'Asia/Tokyo', now() + interval '1 day', now() + interval '9 days',"
            " %(rules)s, now())",
            "select challenges.set_status(%(started)s, 'paused', now())",
            "select challenges.set_invite_code(%(started)s, 'MINE')",
        ):
            assert app.run(statement) == [(False,)]
        assert app.database.execute("select * from challenges.challenges order by id") == before
        assert app.run("select challenges.remove(%(started)s, %(place)s, now())") == [(None,)]


class TestOtherInstants:
    """The app acts in the present. So nobody can act in a closed window, or be locked out for a year."""

    @pytest.mark.parametrize("at", ["now() + interval '6 minutes'", "now() - interval '6 minutes'", "'infinity'"])
    @pytest.mark.parametrize(
        "statement",
        [
            "select core.take('{join}', array['\\x00'::bytea], '{}', {at})",
            "insert into core.audit (at, actor_id, action) values ({at}, %(owner)s, 'tested')",
            "select challenges.join(null, %(code)s, null, {at}, 200)",
            "select challenges.leave(%(started)s, {at})",
            "select challenges.remove(%(started)s, %(place)s, {at})",
            "select challenges.precompute_own_windows(%(place)s, {at})",
            "select challenges.change_own_zone(%(place)s, 'Asia/Tokyo', {at})",
            "select challenges.reschedule(%(started)s, 'Asia/Tokyo', now(), now(), %(rules)s, {at})",
            "select challenges.set_status(%(started)s, 'paused', {at})",
            "insert into challenges.challenges (owner_id, title, status, invite_code, timezone, starts_at, ends_at,"
            " rules, created_at) values (%(owner)s, 't', 'draft', 'c', 'UTC', now(), now() + interval '1 day',"
            " %(rules)s, {at})",
        ],
    )
    def test_nobody_acts_in_the_past_or_the_future(self, app: App, statement: str, at: str) -> None:
        app.act_as("owner")
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="set the clocks right"):
            app.connection.execute(statement.replace("{at}", at).encode(), app.ids)

    def test_clocks_may_differ_by_five_minutes(self, app: App) -> None:
        app.act_as("owner")
        for at in ("now() + interval '5 minutes'", "now() - interval '5 minutes'"):
            app.connection.execute(
                f"insert into core.audit (at, actor_id, action) values ({at}, %(owner)s, 'tested')".encode(), app.ids
            )

    def test_a_stored_response_expires_a_day_after_it_was_stored(self, app: App) -> None:
        app.act_as("owner")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            app.run(
                "insert into core.idempotency_keys (user_id, key, fingerprint, status, headers, body, created_at)"
                " values (%(owner)s, 'k', '', 200, '{}', '', now() + interval '1 year')"
            )


class TestChallengesThatStarted:
    def test_the_rules_and_the_schedule_cannot_change(self, app: App) -> None:
        before = app.database.execute("select rules, starts_at, ends_at, timezone from challenges.challenges")
        app.act_as("owner")
        for change in (
            "select challenges.reschedule(%(started)s, 'Asia/Tokyo', now() + interval '1 day',"
            " now() + interval '9 days', %(rules)s, now())",
            "select challenges.reschedule(%(ahead)s, 'Asia/Tokyo', now(), now() + interval '9 days', %(rules)s, now())",
        ):
            with pytest.raises(psycopg.errors.CheckViolation) as refused:
                app.connection.execute(change.encode(), app.ids)
            assert refused.value.diag.constraint_name == "challenges_schedule_frozen"
        assert app.database.execute("select rules, starts_at, ends_at, timezone from challenges.challenges") == before

    @pytest.mark.parametrize(
        "rules",
        [
            {},
            {"schedule": {"days": ["mon"], "opens": "25:99", "closes": "08:00", "scope": "participant_local"}},
            {"schedule": {"days": "mon", "opens": "05:00", "closes": "08:00", "scope": "participant_local"}},
            {"schedule": {"days": ["mon"], "opens": "05:00", "closes": "08:00"}},
            {
                "schedule": {"days": ["mon"], "opens": "05:00", "closes": "08:00", "scope": "participant_local"},
                "reminders": {"before_close_minutes": 2_147_483_647},
            },
            {
                "schedule": {"days": ["mon"], "opens": "05:00", "closes": "08:00", "scope": "participant_local"},
                "scoring": 10,
            },
            *(
                RULES | changed
                for changed in (
                    {"schedule": RULES["schedule"] | {"days": ["mon", 1]}},
                    {"schedule": RULES["schedule"] | {"days": []}},
                    {"scoring": {"points": "x"}},
                    {"scoring": {"points": None}},
                    {"scoring": {"points": 1e300}},
                    {"scoring": {"points": 1.5}},
                    {"proof": {"kind": "photo", "max_per_window": "x"}},
                    {"proof": {"kind": "photo", "max_bytes": None}},
                    {"proof": {"kind": "song"}},
                    {"proof": {"kind": "photo", "types": []}},
                    {"anti_cheat": {"overlay": "yes"}},
                    {"version": 2},
                    {"more": 1},
                )
            ),
        ],
    )
    def test_rules_that_a_job_could_not_read_are_refused(self, app: App, rules: dict[str, Any]) -> None:
        app.act_as("owner")
        app.ids["rules"] = json.dumps(rules)
        for statement in (
            "select challenges.reschedule(%(ahead)s, 'UTC', now() + interval '1 day', now() + interval '9 days',"
            " %(rules)s, now())",
            "insert into challenges.challenges (owner_id, title, status, invite_code, timezone, starts_at, ends_at,"
            " rules) values (%(owner)s, 't', 'draft', 'c', 'UTC', now(), now() + interval '1 day', %(rules)s)",
        ):
            with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.DataError)):
                app.connection.execute(statement.encode(), app.ids)

    @pytest.mark.parametrize(
        ("zone", "starts_at", "ends_at"),
        [
            ("UTC", "now() + interval '1 day'", "'infinity'"),
            ("UTC", "'-infinity'", "now() + interval '1 day'"),
            ("UTC", "now() + interval '1 day'", "'20000-01-01'"),
            ("UTC", "now() + interval '1 day'", "now() + interval '9 years'"),
            *(
                (zone, "now() + interval '1 day'", "now() + interval '9 days'")
                for zone in ("EST5EDT,M3.2.0,M11.1.0", "PST", "X5", "+02:00", "02:00", "europe/berlin", "utc")
            ),
        ],
    )
    def test_a_period_or_a_zone_that_python_could_not_read_is_refused(
        self, app: App, zone: str, starts_at: str, ends_at: str
    ) -> None:
        """One such row in a list would fail the list for everyone."""
        app.act_as("owner")
        app.ids["zone"] = zone
        for statement in (
            f"select challenges.reschedule(%(ahead)s, %(zone)s, {starts_at}, {ends_at}, %(rules)s, now())",
            "insert into challenges.challenges (owner_id, title, status, visibility, invite_code, timezone, starts_at,"
            f" ends_at, rules) values (%(owner)s, 't', 'active', 'public', 'c', %(zone)s, {starts_at}, {ends_at},"
            " %(rules)s)",
        ):
            refusals = (
                psycopg.errors.CheckViolation,
                psycopg.errors.InvalidParameterValue,
                psycopg.errors.InsufficientPrivilege,
            )
            with pytest.raises(refusals):
                app.connection.execute(statement.encode(), app.ids)

    def test_a_challenge_that_is_over_does_not_run_again(self, app: App) -> None:
        app.act_as("owner")
        for status, possible in (("canceled", True), ("active", False), ("deleted", True), ("active", False)):
            app.ids["status"] = status
            assert app.run("select challenges.set_status(%(started)s, %(status)s, now())") == [(possible,)]
        assert app.run("update challenges.challenges set title = 'Back' where id = %(started)s") == 0
        assert app.run("select challenges.set_invite_code(%(started)s, 'BACK')") == [(False,)]


class TestTheServer:
    @pytest.mark.parametrize(
        "statement",
        [
            "select lo_create(0)",
            "select lo_from_bytea(0, 'a')",
            "select lo_put(1, 0, 'a')",
            "select pg_logical_emit_message(false, 'a', repeat('a', 1000))",
            "select pg_terminate_backend(1)",
            "create table challenges.mine (id int)",
            "copy (select 1) to program 'true'",
            "select pg_read_file('/etc/passwd')",
        ],
    )
    def test_neither_role_stores_anything_outside_the_tables(self, database: Database, statement: str) -> None:
        for url in (database.app, database.system):
            with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_windows_record_the_release_of_the_zones_that_is_installed(database: Database) -> None:
    """After an update of tzdata, write its release into chally/sql/tzdata.sql."""
    assert database.execute("select core.tzdata_release()") == [(tzdata_version(),)]
