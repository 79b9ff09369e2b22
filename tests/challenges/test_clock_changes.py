"""The second look at windows and reminders of people whose clocks change within two days, by the nightly job."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from challenges.jobs import nightly_handler, windows_handler
from chally import clock
from tests.support.api import Client, LambdaContext
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.quiet_hours import set_quiet_hours

At = Callable[[datetime], None]
SATURDAY = datetime.fromisoformat("2027-03-27T03:00:00Z")  # clocks change in Europe on Sunday at 1:00 UTC
SCHEDULE = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "opens": "05:00", "closes": "08:00"}


@pytest.fixture
def kari(person: SignUp, at: At) -> Client:
    """In Berlin, with quiet hours; Miro takes part in Tokyo, where clocks never change. It is Saturday."""
    kari, miro = person("kari", "Europe/Berlin"), person("miro", "Asia/Tokyo")
    body: dict[str, Any] = challenge_body(clock.now())
    body |= {"ends_at": (clock.now() + timedelta(days=300)).isoformat()}
    body["rules"] |= {"schedule": SCHEDULE}
    challenge = kari.post("/v1/challenges", body).json
    assert miro.post(f"/v1/challenges/{challenge['invite_code']}/join").status == 201
    set_quiet_hours(kari, {"from": "06:30", "to": "07:30"})
    at(SATURDAY - timedelta(days=1))
    windows_handler({}, LambdaContext())
    at(SATURDAY)
    windows_handler({}, LambdaContext())
    return kari


def look() -> dict[str, int]:
    return dict(nightly_handler({}, LambdaContext()))


def test_right_windows_and_reminders_of_those_whose_clocks_change_are_counted(
    kari: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    result = look()
    # Kari's windows from Friday to Tuesday, and the reminders of Saturday and Sunday
    assert (result["clock_changes"], result["wrong"]) == (7, 0)
    printed = capsys.readouterr().out.replace(" ", "")
    assert '"ClockChangesChecked":[7.0]' in printed
    assert '"ClockChangesWrong":[0.0]' in printed


@pytest.mark.parametrize(
    ("now", "checked"),
    [
        ("2027-03-26T01:00:00Z", True),  # 48 hours before the change
        ("2027-03-26T00:59:00Z", False),
        ("2027-03-28T00:59:59Z", True),
        ("2027-03-28T01:00:00Z", False),
    ],
)
def test_a_change_is_looked_at_from_two_days_before(kari: Client, at: At, now: str, checked: bool) -> None:
    at(datetime.fromisoformat(now))
    windows_handler({}, LambdaContext())
    assert (look()["clock_changes"] > 0) == checked


BERLINS = "(select id from challenges.participants where timezone = 'Europe/Berlin')"


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (
            "update challenges.windows set opens_at = opens_at + interval '1 hour',"
            " closes_at = closes_at + interval '1 hour'"
            f" where local_date = '2027-03-28' and participant_id in {BERLINS}",
            "window not as calculated",
        ),
        (
            "update notifications.reminders set due_at = due_at + interval '1 hour', nominal_at = nominal_at + interval"
            f" '1 hour' where local_date = '2027-03-28' and participant_id in {BERLINS}",
            "not as calculated",
        ),
        (
            f"delete from notifications.reminders where local_date = '2027-03-28' and participant_id in {BERLINS}",
            "missing",
        ),
        (
            "update challenges.windows set opens_at = opens_at + interval '1 hour',"
            " closes_at = closes_at + interval '1 hour' where local_date = '2027-03-28'"
            f" and participant_id not in {BERLINS}",
            None,  # Miro's clocks do not change
        ),
        ("update challenges.participants set left_at = now()", None),
        ("update challenges.challenges set status = 'paused'", None),
    ],
)
def test_what_differs_from_the_second_calculation_is_reported(
    kari: Client,
    database: Database,
    logs: Callable[[], str],
    capsys: pytest.CaptureFixture[str],
    damage: str,
    kind: str | None,
) -> None:
    database.execute(damage)
    if kind is None:
        assert look()["wrong"] == 0
        return
    with pytest.raises(RuntimeError, match="windows and reminders around a change of clocks are wrong"):
        look()
    assert f'"kind":"{kind}"' in logs()
    assert '"local_date":"2027-03-28"' in logs()
    # A window's reminder is planned from the window, so it differs with it.
    wrong = 2.0 if kind.startswith("window") else 1.0
    assert f'"ClockChangesWrong":[{wrong}]' in capsys.readouterr().out.replace(" ", "")


def test_people_who_travel_over_the_weekend_are_no_mismatch(kari: Client, at: At) -> None:
    for zone in ("America/New_York", "Pacific/Auckland", "Africa/Casablanca", "Europe/Berlin"):
        at(clock.now() + timedelta(hours=3))
        assert kari.patch("/v1/me", {"timezone": zone}).status == 200
        windows_handler({}, LambdaContext())
        assert look()["wrong"] == 0


def test_quiet_hours_in_a_zone_that_changes_are_looked_at_for_windows_in_another(
    person: SignUp, kari: Client, database: Database
) -> None:
    """The windows follow the challenge's zone, Tokyo; the quiet hours that of the account, Berlin."""
    rules = "jsonb_set(rules, '{schedule,scope}', '\"challenge_tz\"')"
    database.execute(f"update challenges.challenges set timezone = 'Asia/Tokyo', rules = {rules}")
    database.execute("delete from challenges.windows")
    windows_handler({}, LambdaContext())
    assert look()["clock_changes"] > 0
