"""One person's broken row stops no job: it is skipped, logged and counted, and everyone else is served.

The rows are broken behind the back of the database's own checks, as a fault of ours or an upgrade could.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from challenges.jobs import nightly_handler as check_standings
from challenges.jobs import windows_handler
from chally import clock
from notifications.jobs import housekeeping_handler, reminders_handler
from notifications.jobs import nightly_handler as check_reminders
from proofs.jobs import removals_handler
from proofs.rules.status import EXPIRES_AFTER
from tests.support.api import Client, LambdaContext
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.quiet_hours import NIGHT, set_quiet_hours

type At = Callable[[datetime], None]
type Logs = Callable[[], str]
type Two = tuple[Client, Client]


@pytest.fixture
def two(person: SignUp, at: At) -> Two:
    """Two people, each with a challenge of their own. The first one's will break."""
    people = person("broken"), person("whole")
    noon = clock.now().replace(hour=11)
    at(noon)
    for client in people:
        assert client.post("/v1/challenges", challenge_body(noon, title=client.user["username"])).status == 201
    return people


def damage(database: Database, statement: str, **values: object) -> None:
    """Run a statement without triggers."""
    with psycopg.connect(database.url) as connection:
        connection.execute("set session_replication_role = replica")
        assert connection.execute(statement.encode(), values).rowcount > 0


def break_rules(database: Database, rules: str) -> None:
    damage(
        database,
        "update challenges.challenges set rules = rules || %(rules)s where title = 'broken'",
        rules=rules,
    )


def by_person(database: Database, rows: str) -> dict[str, int]:
    found = database.execute(
        f"select u.username, count(*) from {rows} x"
        " join challenges.participants p on p.id = x.participant_id join identity.users u on u.id = p.user_id"
        " group by u.username"
    )
    return dict(found)


def skipped(logs: Logs) -> int:
    return logs().count('"message":"row_skipped"')


@pytest.mark.parametrize("rules", ['{"schedule": {"opens": "99:99"}}', '{"reminders": {"before_close_minutes": "x"}}'])
def test_windows_are_stored_for_everyone_else(two: Two, database: Database, at: At, logs: Logs, rules: str) -> None:
    before = by_person(database, "challenges.windows")
    break_rules(database, rules)
    at(clock.now() + timedelta(days=2))
    windows_handler({}, LambdaContext())
    after = by_person(database, "challenges.windows")
    assert after["whole"] == before["whole"] + 2
    assert after["broken"] == before["broken"]
    assert skipped(logs) == 1


def test_windows_are_closed_for_everyone_else(two: Two, database: Database, at: At, logs: Logs) -> None:
    break_rules(database, '{"scoring": {"points": "many"}}')
    at(clock.now() + timedelta(days=1, minutes=21))
    assert windows_handler({}, LambdaContext())["closed"] > 0
    closed = by_person(database, "(select * from challenges.windows where outcome is not null)")
    assert closed["whole"] > 0
    assert "broken" not in closed
    assert skipped(logs) == 1
    assert windows_handler({}, LambdaContext())["closed"] == 0


def test_standings_are_checked_for_everyone_else(two: Two, database: Database, at: At, logs: Logs) -> None:
    at(clock.now() + timedelta(days=1, minutes=21))
    windows_handler({}, LambdaContext())
    break_rules(database, '{"scoring": {"points": "many"}}')
    damage(database, "update challenges.standings set points = 99")
    with pytest.raises(RuntimeError, match="2 of 2 standings"):
        check_standings({}, LambdaContext())
    assert logs().count('"message":"standing_mismatch"') == 2


def test_a_failed_check_does_not_stop_the_others(two: Two, database: Database, logs: Logs) -> None:
    damage(database, "update challenges.challenges set participant_count = 7 where title = 'whole'")
    database.execute("alter table identity.users rename column timezone to zone")
    with pytest.raises(RuntimeError, match="job_part_failure"):
        check_standings({}, LambdaContext())
    assert '"message":"participant_count_mismatch"' in logs()


def lose_zone(database: Database) -> None:
    """Give a person a zone that an upgrade of Postgres has removed."""
    damage(database, "update identity.users set timezone = 'Nowhere/Lost' where username = 'broken'")


def test_reminders_are_sent_to_everyone_else(
    two: Two, database: Database, at: At, logs: Logs, mails: Callable[[], list[dict[str, Any]]]
) -> None:
    for client in two:
        set_quiet_hours(client, NIGHT)
    [(due,)] = database.execute("select min(due_at) from notifications.reminders where sent_at is null")
    lose_zone(database)
    damage(database, "update notifications.reminders set planned_by = null")  # quiet hours are computed again
    at(due)
    for sent in (1, 0):
        assert reminders_handler({}, LambdaContext())["sent"] == sent
    reminded = [mail["user_id"] for mail in mails() if mail["template"] == "reminder"]
    assert reminded == [two[1].user["id"]]
    assert skipped(logs) == 2


def test_reminders_are_checked_for_everyone_else(two: Two, database: Database, at: At, logs: Logs) -> None:
    for client in two:
        set_quiet_hours(client, NIGHT)
    [(due,)] = database.execute("select min(due_at) from notifications.reminders where sent_at is null")
    lose_zone(database)
    damage(database, "update notifications.reminders set sent_at = due_at + interval '30 minutes'")  # in quiet hours
    at(due + timedelta(hours=1))
    with pytest.raises(RuntimeError, match="2 of 1 reminders"):
        check_reminders({}, LambdaContext())
    assert skipped(logs) == 1
    assert '"message":"reminder_mismatch"' in logs()


@pytest.mark.parametrize("broken", ["zone", "rules"])
def test_changes_of_clocks_are_looked_at_for_everyone_else(
    two: Two, database: Database, at: At, logs: Logs, broken: str
) -> None:
    for client in two:
        set_quiet_hours(client, NIGHT)
    database.execute("update challenges.challenges set ends_at = ends_at + interval '200 days'")
    at(datetime.fromisoformat("2027-03-27T03:00:00Z"))  # clocks change in Berlin the next morning
    windows_handler({}, LambdaContext())
    checked = check_standings({}, LambdaContext())["clock_changes"]
    before = skipped(logs)
    if broken == "zone":
        lose_zone(database)
    else:
        break_rules(database, '{"schedule": {"opens": "noon"}}')
    with pytest.raises(RuntimeError, match=f"1 of {checked // 2} windows and reminders around a change of clocks"):
        check_standings({}, LambdaContext())
    assert skipped(logs) > before


def test_objects_are_deleted_after_one_that_cannot_be(cloud: None, database: Database, logs: Logs) -> None:
    old = clock.now() - EXPIRES_AFTER - timedelta(hours=1)
    for key in ("/", "uploads/b", "uploads/c"):  # to delete "/" would be to delete the whole bucket
        database.execute("insert into proofs.removals (key, added_at) values (%(key)s, %(old)s)", key=key, old=old)
    assert removals_handler({}, LambdaContext()) == {"removed": 2}
    assert database.execute("select key from proofs.removals") == [("/",)]
    assert skipped(logs) == 1


def test_keys_are_deleted_although_messages_cannot_be(two: Two, database: Database, logs: Logs) -> None:
    database.execute("update core.idempotency_keys set created_at = now() - interval '25 hours'")
    database.execute("alter table core.outbox rename column delivered_at to delivered")
    with pytest.raises(RuntimeError, match="job_part_failure"):
        housekeeping_handler({}, LambdaContext())
    assert database.execute("select count(*) from core.idempotency_keys") == [(0,)]
    assert logs().count('"message":"job_part_failure"') == 2
