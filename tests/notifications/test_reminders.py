"""Reminders from a person's view: when a mail arrives, that it arrives once, and what is recorded."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from chally import clock, db, outbox, zones
from notifications import jobs, reminders
from notifications.jobs import reminders_handler
from tests.support.api import Client, LambdaContext
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.quiet_hours import NIGHT, pending, set_quiet_hours

At = Callable[[datetime], None]
Mails = Callable[[], list[dict[str, Any]]]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def owner(person: SignUp) -> Client:
    """In Berlin, with windows of whole days: reminders are due at 23:00."""
    client = person("owner", "Europe/Berlin")
    assert client.post("/v1/challenges", challenge_body(clock.now())).status == 201
    return client


def walls(database: Database, zone: str = "Europe/Berlin") -> set[str]:
    """The wall times at which pending reminders are due."""
    rows = database.execute(
        "select distinct to_char(due_at at time zone %(zone)s, 'HH24:MI') from notifications.reminders"
        " where sent_at is null and cleared_at is null and skipped is null and nominal_at > planned_at",
        zone=zone,
    )
    return {wall for (wall,) in rows}


def remind() -> dict[str, int]:
    return dict(reminders_handler({}, LambdaContext()))


class TestQuietHours:
    def test_a_change_of_quiet_hours_moves_planned_reminders_at_once(self, owner: Client, database: Database) -> None:
        assert walls(database) == {"23:00"}
        set_quiet_hours(owner, NIGHT)
        assert walls(database) == {"22:00"}  # they end after the window closes, so due when they begin
        set_quiet_hours(owner, {"from": "22:30", "to": "23:30"})
        assert walls(database) == {"23:30"}
        set_quiet_hours(owner, None)
        assert walls(database) == {"23:00"}
        assert owner.get("/v1/me").json["notifications"] == {"reminders": True, "quiet_hours": None}

    def test_a_reminder_that_a_proof_cleared_keeps_its_record(self, owner: Client, database: Database, at: At) -> None:
        due = pending(database)
        [(participant, day)] = database.execute(
            "select participant_id, local_date from notifications.reminders where due_at = %(due)s", due=due
        )
        at(due - HOUR)
        with db.as_system("test") as tx:
            reminders.clear(tx, participant, day, clock.now())
        record = (
            "select due_at, planned_at, cleared_at, skipped from notifications.reminders where local_date = %(day)s"
        )
        before = database.execute(record, day=day)
        set_quiet_hours(owner, NIGHT)
        assert owner.patch("/v1/me", {"timezone": "Europe/Lisbon"}).status == 200
        assert database.execute(record, day=day) == before
        at(due)
        assert remind()["sent"] == 0

    def test_other_changes_keep_quiet_hours(self, owner: Client, database: Database) -> None:
        set_quiet_hours(owner, NIGHT)
        assert owner.patch("/v1/me", {"notifications": {"reminders": True}}).status == 200
        assert owner.patch("/v1/me", {"notifications": None}).status == 200
        assert owner.get("/v1/me").json["notifications"]["quiet_hours"] == NIGHT
        assert walls(database) == {"22:00"}

    def test_quiet_hours_apply_to_windows_made_later(self, person: SignUp, database: Database) -> None:
        kari = person("kari", "Europe/Berlin")
        set_quiet_hours(kari, NIGHT)
        kari.post("/v1/challenges", challenge_body(clock.now()))
        assert walls(database) == {"22:00"}

    def test_quiet_hours_are_in_the_zone_of_the_account(self, person: SignUp, database: Database) -> None:
        """23:00 in Kolkata is 2:30 of the next day in Tokyo."""
        kari = person("kari", "Asia/Kolkata")
        assert kari.post("/v1/challenges", challenge_body(clock.now())).status == 201
        set_quiet_hours(kari, NIGHT)
        assert kari.patch("/v1/me", {"timezone": "Asia/Tokyo"}).status == 200
        assert walls(database, "Asia/Tokyo") == {"22:00"}
        hours = {"from": "01:00", "to": "02:45"}
        assert kari.patch("/v1/me", {"timezone": "Asia/Kolkata", "notifications": {"quiet_hours": hours}}).status == 200
        assert walls(database, "Asia/Kolkata") == {"23:00"}

    def test_quiet_hours_that_cover_a_window_skip_its_reminder(
        self, person: SignUp, database: Database, at: At, mails: Mails
    ) -> None:
        kari = person("kari", "UTC")
        body = challenge_body(clock.now())
        body["rules"]["schedule"] |= {"opens": "12:00", "closes": "13:00"}
        assert kari.post("/v1/challenges", body).status == 201
        set_quiet_hours(kari, {"from": "11:00", "to": "12:56"})
        rows = database.execute("select skipped, due_at from notifications.reminders where closes_at > now()")
        assert set(rows) == {("quiet", None)}
        before = len(mails())
        at(clock.now() + timedelta(days=4))
        assert remind() == {"claimed": 0, "sent": 0}
        set_quiet_hours(kari, None)  # the windows are over
        assert remind() == {"claimed": 0, "sent": 0}
        assert len(mails()) == before

    def test_new_quiet_hours_apply_to_a_reminder_that_is_due(self, owner: Client, database: Database, at: At) -> None:
        due = pending(database)
        at(due + timedelta(seconds=30))
        set_quiet_hours(owner, {"from": "23:00", "to": "23:40"})
        assert remind()["sent"] == 0
        at(due + 40 * MINUTE)
        assert remind()["sent"] == 1

    def test_a_late_job_sends_nothing_in_quiet_hours(
        self, owner: Client, database: Database, at: At, mails: Mails
    ) -> None:
        """Due at 22:00, but nothing ran until 22:10, in quiet hours."""
        set_quiet_hours(owner, NIGHT)
        due = pending(database)
        at(due + 10 * MINUTE)
        before = [mail for mail in mails() if mail.get("template") == "reminder"]
        remind()
        assert [mail for mail in mails() if mail.get("template") == "reminder"] == before
        rows = database.execute("select skipped from notifications.reminders where due_at = %(due)s", due=due)
        assert set(rows) == {("quiet",)}

    def test_a_late_job_waits_for_the_end_of_quiet_hours(
        self, owner: Client, database: Database, at: At, mails: Mails
    ) -> None:
        set_quiet_hours(owner, {"from": "23:05", "to": "23:30"})
        due = pending(database)  # 23:00
        at(due + 10 * MINUTE)
        assert remind()["sent"] == 0
        at(due + 30 * MINUTE)
        assert remind()["sent"] == 1


class TestRecord:
    def test_a_reminder_records_when_it_was_due_and_sent(self, owner: Client, database: Database, at: At) -> None:
        due = pending(database)
        at(due)
        remind()
        rows = database.execute(
            "select nominal_at, due_at, sent_at from notifications.reminders where due_at = %(due)s", due=due
        )
        assert rows == [(due, due, due)]

    @pytest.mark.parametrize(
        ("arrange", "reason"),
        [
            ("update challenges.challenges set status = 'paused'", "stopped"),
            ("update identity.users set wants_reminders = false", "unwanted"),
            ("update identity.users set deleted_at = now()", "left"),
            ("update challenges.participants set left_at = now()", "left"),
            ("update notifications.reminders set closes_at = due_at", "closed"),
        ],
    )
    def test_a_skipped_reminder_records_why(
        self, owner: Client, database: Database, at: At, mails: Mails, arrange: str, reason: str
    ) -> None:
        due, before = pending(database), len(mails())
        database.execute(arrange)
        at(due)
        remind()
        rows = database.execute("select sent_at, skipped from notifications.reminders where due_at = %(due)s", due=due)
        assert rows == [(None, reason)]
        assert len(mails()) == before
        assert remind() == {"claimed": 0, "sent": 0}


class TestSentOnce:
    def test_a_moved_window_gets_no_second_reminder(
        self, owner: Client, database: Database, at: At, mails: Mails
    ) -> None:
        due = pending(database)
        at(due)
        assert remind()["sent"] >= 1
        sent = len(mails())
        [(participant,)] = database.execute("select id from challenges.participants")
        with db.as_system("test") as tx:
            for zone in ("Pacific/Honolulu", "Asia/Tokyo", "Europe/Berlin"):
                tx.run(
                    "select challenges.change_participant_zone(%(p)s, %(zone)s, %(now)s, %(tzdata)s)",
                    {"p": participant, "zone": zone, "now": due, "tzdata": zones.tzdata_version()},
                )
                tx.run("select notifications.replan_reminders(%(u)s, %(now)s)", {"u": owner.user["id"], "now": due})
        assert remind()["sent"] == 0
        assert len(mails()) == sent

    def test_a_returning_participant_gets_no_second_reminder(
        self, owner: Client, person: SignUp, database: Database, at: At, mails: Mails
    ) -> None:
        [(challenge, code)] = database.execute("select id, invite_code from challenges.challenges")
        member = person("member", "Europe/Berlin")
        join = f"/v1/challenges/{code}/join"
        assert member.post(join).status == 201
        due = pending(database)
        at(due)
        assert remind()["sent"] >= 2
        sent = len(mails())
        at(due + MINUTE)
        assert member.post(f"/v1/challenges/{challenge}/leave").status == 204
        assert member.post(join).status == 201
        assert remind()["sent"] == 0
        assert len(mails()) == sent

    def test_a_participant_who_returns_late_is_reminded_on_return(
        self, owner: Client, person: SignUp, database: Database, at: At
    ) -> None:
        [(challenge, code)] = database.execute("select id, invite_code from challenges.challenges")
        member = person("member", "Europe/Berlin")
        assert member.post(f"/v1/challenges/{code}/join").status == 201
        due = pending(database)
        at(due - 10 * MINUTE)
        remind()
        assert member.post(f"/v1/challenges/{challenge}/leave").status == 204
        at(due)
        assert remind()["sent"] == 1  # the owner's
        at(due + 20 * MINUTE)
        assert member.post(f"/v1/challenges/{code}/join").status == 201
        with db.as_system("test") as tx:
            batch = reminders.send_due(tx, clock.now(), 10)
        assert (batch.sent, batch.lateness) == (1, timedelta())

    def test_concurrent_jobs_send_each_reminder_once(self, crowd: int, database: Database, mails: Mails) -> None:
        """Each has its own connection, as several environments of the function do."""
        start = threading.Barrier(8)

        def run() -> int:
            taken = 0
            with psycopg.connect(database.system, autocommit=True, prepare_threshold=None) as connection:
                start.wait()
                while True:
                    with connection.transaction():
                        batch = reminders.send_due(db.Tx(connection, None), clock.now(), 50)
                    taken += batch.claimed
                    if not batch.claimed:
                        return taken

        with ThreadPoolExecutor(8) as pool:
            taken = [future.result() for future in [pool.submit(run) for _ in range(8)]]
        assert sum(taken) == crowd
        assert len(mails()) == crowd
        assert database.execute("select count(*) from notifications.reminders where sent_at is null") == [(0,)]

    def test_a_crashed_job_loses_and_repeats_nothing(
        self, crowd: int, mails: Mails, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left = [2]
        add_all = outbox.add_all

        def die(*args: Any) -> None:
            left[0] -= 1
            if not left[0]:
                raise MemoryError
            add_all(*args)

        monkeypatch.setattr(outbox, "add_all", die)
        with pytest.raises(MemoryError):
            remind()
        assert len(mails()) == jobs.REMINDERS  # all of the first batch, nothing of the second
        monkeypatch.undo()
        assert remind() == {"claimed": crowd - jobs.REMINDERS, "sent": crowd - jobs.REMINDERS}
        assert len({mail["values"]["title"] for mail in mails()}) == len(mails()) == crowd


@pytest.fixture
def crowd(cloud: None, database: Database) -> int:
    """5,000 reminders due in one minute, each for a window that is open for another hour."""
    database.execute(
        """
        with person as (
            insert into identity.users (email, username, password_hash, timezone, email_verified_at)
            values ('kari@people.test', 'kari', '', 'UTC', now()) returning id
        ), challenge as (
            insert into challenges.challenges
                (owner_id, title, status, invite_code, timezone, starts_at, ends_at, rules)
            select id, 't', 'active', 'code', 'UTC', now() - interval '1 day', now() + interval '1 day', '{}'
            from person returning id, owner_id
        ), place as (
            insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since)
            select id, owner_id, 'UTC', now(), now() from challenge returning id, user_id
        )
        insert into notifications.reminders (
            participant_id, local_date, user_id, title, timezone, opens_at, closes_at, nominal_at, due_at, planned_at
        )
        select id, date '2026-01-01' + n, user_id, n, 'UTC', now() - interval '1 day', now() + interval '1 hour',
            due, due, now() - interval '1 day'
        from place, generate_series(1, 5000) n
        cross join lateral (select now() - make_interval(secs => mod(n, 60)) as due) as x
        """
    )
    return 5_000


def test_one_run_sends_five_thousand_reminders(crowd: int, mails: Mails) -> None:
    assert remind() == {"claimed": crowd, "sent": crowd}
    assert len(mails()) == crowd


def test_lateness_is_measured_even_if_nothing_is_due(
    owner: Client, database: Database, at: At, capsys: pytest.CaptureFixture[str]
) -> None:
    due = pending(database)
    at(due - MINUTE)
    remind()
    capsys.readouterr()
    at(due + 200 * timedelta(seconds=1))
    remind()
    assert '"ReminderLateness":[200.0]' in capsys.readouterr().out.replace(" ", "")
    remind()
    assert '"ReminderLateness":[0.0]' in capsys.readouterr().out.replace(" ", "")


def test_the_role_of_the_app_cannot_write_reminders(database: Database) -> None:
    rows = database.execute(
        "select p.proname::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname = 'notifications' and has_function_privilege('chally_app', p.oid, 'execute')"
    )
    assert rows == []


def test_quiet_hours_require_a_token_and_are_private(nobody: Client, owner: Client, person: SignUp) -> None:
    stranger = person("stranger")
    body = {"notifications": {"quiet_hours": NIGHT}}
    assert nobody.patch("/v1/me", body).code == "unauthenticated"
    assert stranger.patch("/v1/me", body).status == 200
    assert owner.get("/v1/me").json["notifications"]["quiet_hours"] is None
