"""Reminders and the outbox, by the real handlers and moto's SES."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from chally import clock, db, outbox, wall_clock
from notifications import mail, reminders
from notifications.jobs import housekeeping_handler, outbox_handler, reminders_handler
from tests.support.api import Client, LambdaContext
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

Mails = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def owner(person: SignUp) -> Client:
    client = person("owner", "Asia/Tokyo")
    client.post("/v1/challenges", challenge_body(clock.now()))
    return client


def remind() -> int:
    return int(reminders_handler({}, LambdaContext())["claimed"])


def deliver() -> dict[str, int]:
    return dict(outbox_handler({}, LambdaContext()))


def tidy() -> dict[str, int]:
    return dict(housekeeping_handler({}, LambdaContext()))


def sent() -> list[Any]:
    return list(ses_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].sent_messages)


def due(database: Database) -> datetime:
    instant: datetime = database.execute("select min(due_at) from notifications.reminders where sent_at is null")[0][0]
    return instant


class TestReminders:
    def test_the_mail_gives_the_close_by_the_rules_that_the_window_follows(
        self, person: SignUp, database: Database, at: Callable[[datetime], None]
    ) -> None:
        """Morocco has changed its rules: older releases of the zones, which machines have, are an hour off."""
        amina = person("amina", "Africa/Casablanca")
        body = challenge_body(clock.now())
        body["rules"]["schedule"] |= {"opens": "10:46", "closes": "11:46"}
        assert amina.post("/v1/challenges", body).status == 201
        at(due(database))
        assert remind() == 1
        deliver()
        [body] = [message.body for message in sent() if "Run before eight" in message.body]
        assert "11:46" in body

    def test_each_window_gets_one_reminder(
        self, owner: Client, database: Database, mails: Mails, at: Callable[[datetime], None]
    ) -> None:
        instant = due(database)
        at(instant - timedelta(seconds=1))
        assert remind() == 0
        at(instant)
        assert (remind(), remind()) == (1, 0)
        reminder = mails()[-1]
        assert reminder["template"] == "reminder"
        assert reminder["user_id"] == owner.user["id"]
        closes_at = reminder["values"].pop("closes_at")
        assert datetime.fromisoformat(closes_at) == instant + timedelta(hours=1)
        assert reminder["values"] == {"title": "Run before eight", "timezone": "Asia/Tokyo"}

    def test_a_reminder_names_the_readers_zone_and_the_challenges(
        self, owner: Client, database: Database, at: Callable[[datetime], None]
    ) -> None:
        """The account's zone is the reader's, also where the window follows another."""
        deliver()
        database.execute("update notifications.reminders set timezone = 'America/New_York'")
        instant = due(database)
        at(instant)
        remind()
        before = len(sent())
        deliver()
        (message,) = sent()[before:]
        closes_at = instant + timedelta(hours=1)
        assert wall_clock.describe(closes_at, "Asia/Tokyo", beside="America/New_York") in message.body

    def test_a_closed_window_gets_no_reminder(
        self, owner: Client, database: Database, mails: Mails, at: Callable[[datetime], None]
    ) -> None:
        before = len(mails())
        at(due(database) + timedelta(hours=1))
        assert remind() == 1
        assert len(mails()) == before

    def test_a_window_with_a_proof_gets_no_reminder(
        self, owner: Client, database: Database, at: Callable[[datetime], None]
    ) -> None:
        instant = due(database)
        participant, day = database.execute(
            "select participant_id, local_date from notifications.reminders order by due_at limit 1"
        )[0]
        with db.as_system("test") as tx:
            reminders.clear(tx, participant, day, clock.now())
        at(instant)
        assert remind() == 0

    def test_a_paused_challenge_sends_no_reminders(
        self, owner: Client, database: Database, mails: Mails, at: Callable[[datetime], None]
    ) -> None:
        database.execute("update challenges.challenges set status = 'paused'")
        before = len(mails())
        at(due(database))
        assert remind() == 1
        assert len(mails()) == before

    def test_reminders_can_be_switched_off(
        self, owner: Client, person: SignUp, database: Database, mails: Mails, at: Callable[[datetime], None]
    ) -> None:
        ((code,),) = database.execute("select invite_code from challenges.challenges")
        other = person("other", "Asia/Tokyo")
        assert other.post(f"/v1/challenges/{code}/join").status == 201
        assert owner.patch("/v1/me", {"notifications": {"reminders": False}}).status == 200
        before = len(mails())
        # In the last hour of a day in Tokyo, each reminder is due when its participant joins.
        at(due(database) + timedelta(seconds=30))
        assert remind() == 2
        assert [mail["user_id"] for mail in mails()[before:]] == [other.user["id"]]
        assert remind() == 0

    def test_an_unknown_zone_does_not_stop_reminders(
        self, owner: Client, database: Database, mails: Mails, at: Callable[[datetime], None]
    ) -> None:
        deliver()
        before = len(sent())
        database.execute("update notifications.reminders set timezone = 'nonsense'")
        at(due(database))
        assert remind() == 1
        deliver()
        (message,) = sent()[before:]
        assert "2026 (Asia/Tokyo; " in message.body


class TestOutbox:
    def test_each_mail_is_delivered_once_and_its_token_deleted(self, nobody: Client, database: Database) -> None:
        before = len(sent())
        nobody.post(
            "/v1/auth/register",
            {"email": "kari@people.test", "username": "kari", "password": "long enough for us", "timezone": "UTC"},
        )
        (token,) = database.execute("select payload #>> '{values,token}' from core.outbox")[0]
        assert deliver() == {"delivered": 1, "failed": 0}
        assert deliver() == {"delivered": 0, "failed": 0}
        (message,) = sent()[before:]
        assert message.destinations["ToAddresses"] == ["kari@people.test"]
        assert f"https://api.test/v1/auth/verify-email?token={token}\n" in message.body
        assert database.execute("select payload, delivered_at is null from core.outbox") == [({}, False)]

    def test_a_failed_delivery_is_recorded_and_retried(
        self, person: SignUp, database: Database, monkeypatch: pytest.MonkeyPatch, logs: Callable[[], str]
    ) -> None:
        person("kari")

        def refuse(*args: object, **kwargs: object) -> None:
            raise TimeoutError(str(kwargs["to"]))

        monkeypatch.setattr(mail, "send", refuse)
        assert deliver() == {"delivered": 0, "failed": 1}
        assert deliver() == {"delivered": 0, "failed": 0}  # leased, so not due yet
        monkeypatch.undo()
        rows = database.execute("select last_error, attempts, due_at > now() from core.outbox")
        assert rows == [("TimeoutError", 1, True)]
        assert "@people.test" not in logs()
        database.execute("update core.outbox set due_at = now()")
        assert deliver() == {"delivered": 1, "failed": 0}

    def test_a_message_is_not_sent_after_its_last_attempt(self, person: SignUp, database: Database) -> None:
        person("kari")
        database.execute("update core.outbox set attempts = 12")
        assert deliver() == {"delivered": 0, "failed": 0}

    def test_a_slow_delivery_is_not_claimed_by_the_next_run(
        self, person: SignUp, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person("kari")
        seen: list[int] = []

        def slow(*args: object, **kwargs: object) -> None:
            with db_of_another_run(database) as other:
                seen.append(len(outbox.claim(other, 10)))

        monkeypatch.setattr(mail, "send", slow)
        assert deliver() == {"delivered": 1, "failed": 0}
        assert seen == [0]

    def test_an_undeliverable_message_does_not_block_the_others(self, person: SignUp, database: Database) -> None:
        person("kari")
        database.execute(
            "insert into core.outbox (topic, payload, due_at)"
            """ values ('mail', '{"template": "unknown", "to": "a@b.test", "values": {}}', now() - interval '1 h')"""
        )
        assert deliver() == {"delivered": 1, "failed": 1}


class TestHousekeeping:
    def test_delivered_messages_are_deleted_after_a_week(self, person: SignUp, database: Database) -> None:
        person("kari")
        person("ola")
        deliver()
        (oldest, _) = database.execute("select id from core.outbox order by id")
        database.execute(
            "update core.outbox set delivered_at = now() - interval '8 days' where id = %(id)s", id=oldest[0]
        )
        assert tidy()["messages_deleted"] == 1
        assert tidy()["messages_deleted"] == 0
        assert database.execute("select count(*) from core.outbox") == [(1,)]

    def test_messages_that_were_never_delivered_are_kept(self, person: SignUp, database: Database) -> None:
        person("kari")
        database.execute("update core.outbox set created_at = now() - interval '30 days'")
        assert tidy()["messages_deleted"] == 0

    def test_idempotency_keys_are_deleted_after_a_day(self, owner: Client, database: Database) -> None:
        owner.post("/v1/challenges", challenge_body(clock.now()), idempotency_key="k1")
        assert tidy()["keys_deleted"] == 0
        database.execute("update core.idempotency_keys set created_at = now() - interval '25 hours'")
        assert tidy()["keys_deleted"] == 1

    def test_messages_without_attempts_left_are_reported(
        self, person: SignUp, database: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        person("kari")
        assert tidy()["messages_dead"] == 0
        database.execute("update core.outbox set attempts = 12")
        assert tidy()["messages_dead"] == 1
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["MessagesDead"] == [1.0]


@contextmanager
def db_of_another_run(database: Database) -> Iterator[db.Tx]:
    with psycopg.connect(database.system) as connection:
        yield db.Tx(connection, None)
