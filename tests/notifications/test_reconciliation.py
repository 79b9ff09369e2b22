"""The nightly check of reminders finds every fault and reports no false ones."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from chally import clock
from notifications.jobs import nightly_handler, reminders_handler
from tests.support.api import Client, LambdaContext
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.quiet_hours import NIGHT, pending, set_quiet_hours

At = Callable[[datetime], None]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def owner(person: SignUp) -> Client:
    client = person("owner", "Europe/Berlin")
    assert client.post("/v1/challenges", challenge_body(clock.now())).status == 201
    return client


@pytest.fixture
def reminded(owner: Client, database: Database, at: At) -> datetime:
    """The due instant of a person with quiet hours who was reminded an hour ago."""
    set_quiet_hours(owner, NIGHT)
    due = pending(database)
    for minutes in range(-60, 10, 10):
        at(due + minutes * MINUTE)
        reminders_handler({}, LambdaContext())
    at(due + HOUR)
    assert found() == {}
    return due


def found() -> dict[str, int]:
    """The number of mismatches by kind. The job raises if and only if there are any."""
    from notifications import reconciliation

    kinds: dict[str, int] = {}
    check = reconciliation.check_reminders

    def counting_check(*args: object) -> reconciliation.ReconciliationBatch:
        batch = check(*args)  # type: ignore[arg-type]
        for mismatch in batch.mismatches:
            kinds[mismatch.kind] = kinds.get(mismatch.kind, 0) + 1
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconciliation, "check_reminders", counting_check)
        try:
            assert nightly_handler({}, LambdaContext())["wrong"] == 0
        except RuntimeError:
            assert kinds
        else:
            assert not kinds
    return kinds


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        ("delete from notifications.reminders where due_at = %(due)s", "missing"),
        (
            "update notifications.reminders set sent_at = due_at + interval '91 s' where due_at = %(due)s",
            "in quiet hours",
        ),
        ("update notifications.reminders set sent_at = null where due_at = %(due)s", "late"),
        (
            "update notifications.reminders set sent_at = null, cleared_at = due_at + interval '20 minutes'"
            " where due_at = %(due)s",
            "late",
        ),
        (
            "update notifications.reminders set sent_at = null, skipped = 'closed' where due_at = %(due)s",
            "late",
        ),
        (
            "update notifications.reminders set due_at = due_at - interval '1 minute' where due_at = %(due)s",
            "not as calculated",
        ),
        (
            "update notifications.reminders set due_at = nominal_at, sent_at = nominal_at where due_at = %(due)s",
            "in quiet hours",
        ),
        (
            "update notifications.reminders set due_at = null, sent_at = null, skipped = 'quiet'"
            " where due_at = %(due)s",
            "not as calculated",
        ),
        ("update identity.users set quiet_since = %(due)s - interval '1 minute'", "not rescheduled"),
    ],
)
def test_each_kind_of_damage_is_found(reminded: datetime, database: Database, at: At, damage: str, wrong: str) -> None:
    database.execute(damage, due=reminded)
    at(reminded + 90 * MINUTE)  # the nominal instant is past, too
    assert found() == {wrong: 1}


def test_a_mismatch_is_logged_and_raises_for_the_alarm(
    reminded: datetime, database: Database, logs: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    [(participant, day)] = database.execute(
        "update notifications.reminders set sent_at = due_at + interval '1 hour' where due_at = %(due)s"
        " returning participant_id, local_date::text",
        due=reminded,
    )
    with pytest.raises(RuntimeError, match="1 of"):
        nightly_handler({}, LambdaContext())
    assert f'"participant_id":"{participant}"' in logs()
    assert f'"local_date":"{day}"' in logs()
    assert '"RemindersWrong":[1.0]' in capsys.readouterr().out.replace(" ", "")


def test_changed_quiet_hours_are_no_mismatch(owner: Client, reminded: datetime, at: At) -> None:
    set_quiet_hours(owner, {"from": "20:00", "to": "23:00"})
    assert found() == {}
    assert owner.patch("/v1/me", {"timezone": "Asia/Tokyo"}).status == 200
    assert found() == {}
    set_quiet_hours(owner, None)
    at(reminded + 3 * HOUR)
    reminders_handler({}, LambdaContext())
    assert found() == {}


def test_joining_leaving_and_proving_are_no_mismatch(owner: Client, person: SignUp, database: Database, at: At) -> None:
    [(challenge, code)] = database.execute("select id, invite_code from challenges.challenges")
    people = [person(name, "Europe/Berlin") for name in ("goes", "returns", "proves")]
    late = person("late", "Europe/Berlin")
    for each in people:
        assert each.post(f"/v1/challenges/{code}/join").status == 201
    due = pending(database)
    at(due - 20 * MINUTE)
    reminders_handler({}, LambdaContext())
    for each in people[:2]:
        assert each.post(f"/v1/challenges/{challenge}/leave").status == 204
    database.execute(
        "update notifications.reminders set cleared_at = %(now)s where user_id = %(user)s and due_at = %(due)s",
        now=clock.now(),
        user=people[2].user["id"],
        due=due,
    )
    at(due)
    reminders_handler({}, LambdaContext())
    at(due + 30 * MINUTE)
    for each in (people[1], late):
        assert each.post(f"/v1/challenges/{code}/join").status == 201
    for _ in range(2):
        reminders_handler({}, LambdaContext())
        at(clock.now() + 10 * MINUTE)
    assert found() == {}
    sent = database.execute("select count(*) from notifications.reminders where sent_at >= %(due)s", due=due)
    assert sent == [(3,)]  # the owner's, and those of the two who joined half an hour later


def test_a_late_reminder_is_found(owner: Client, database: Database, at: At) -> None:
    due = pending(database)
    at(due + timedelta(seconds=91))
    reminders_handler({}, LambdaContext())
    at(due + HOUR)
    assert found() == {"late": 1}


def test_a_reminder_within_ninety_seconds_is_not_late(owner: Client, database: Database, at: At) -> None:
    set_quiet_hours(owner, NIGHT)
    due = pending(database)
    at(due + timedelta(seconds=90))  # also 90 seconds into quiet hours
    reminders_handler({}, LambdaContext())
    at(due + 2 * HOUR)
    assert found() == {}
