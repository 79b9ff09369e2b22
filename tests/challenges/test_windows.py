"""Windows on days with clock changes, checked against the contract; expected instants come from zoneinfo."""

import itertools
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from challenges import windows, zone_change
from chally import db
from chally.zones import ZoneInfo
from tests.support.concurrency import acting, connect
from tests.support.database import Database

START = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2027, 12, 31, tzinfo=UTC)
ALL_DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

Take = Callable[..., UUID]
Move = Callable[[UUID, str, datetime], None]


@pytest.fixture
def take_part(database: Database) -> Take:
    """Insert a participant of a challenge with these rules; over HTTP it could not lie in the past."""
    user = database.execute(
        "insert into identity.users (email, username, password_hash, timezone) values ('a@b.test', 'anna', '', 'UTC')"
        " returning id"
    )[0][0]

    def take(
        zone: str,
        opens: str,
        closes: str,
        *,
        days: list[str] = ALL_DAYS,
        scope: str = "participant_local",
        starts_at: datetime = START,
        ends_at: datetime = END,
        joined_at: datetime = START,
    ) -> UUID:
        import json

        rules = {
            "schedule": {"days": days, "opens": opens, "closes": closes, "scope": scope},
            "reminders": {"before_close_minutes": 60},
            "scoring": {"points": 10, "streak_bonus": 1, "grace_days": 0},
        }
        challenge = database.execute(
            "insert into challenges.challenges (owner_id, title, status, invite_code, timezone, starts_at, ends_at,"
            " rules) values (%(user)s, 't', 'active', gen_random_uuid(), %(zone)s, %(starts)s, %(ends)s, %(rules)s)"
            " returning id",
            user=user,
            zone=zone if scope == "challenge_tz" else "UTC",
            starts=starts_at,
            ends=ends_at,
            rules=json.dumps(rules),
        )[0][0]
        participant: UUID = database.execute(
            "insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since)"
            " values (%(challenge)s, %(user)s, %(zone)s, %(joined)s, %(joined)s) returning id",
            challenge=challenge,
            user=user,
            zone="UTC" if scope == "challenge_tz" else zone,
            joined=joined_at,
        )[0][0]
        return participant

    return take


def between(participant: UUID, first: date, last: date) -> dict[date, tuple[datetime, datetime]]:
    with db.as_system("test", read_only=True) as tx:
        found = windows.between(tx, participant, first, last, END)
    return {window.local_date: (window.opens_at, window.closes_at) for window in found}


def instant(zone: str, day: date, wall: str, *, fold: int) -> datetime:
    """Return the instant of a wall time. In a gap it moves forward by the gap; in an overlap `fold` chooses."""
    local = datetime.combine(day, time.fromisoformat(wall), ZoneInfo(zone))
    if local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) != local.replace(tzinfo=None):
        fold = 0  # in a gap, the offset before it gives an instant after it
    return local.replace(fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", date(2026, 3, 29)),
        ("Europe/Berlin", date(2026, 10, 25)),
        ("America/New_York", date(2026, 3, 8)),
        ("America/New_York", date(2026, 11, 1)),
        ("Australia/Lord_Howe", date(2026, 4, 5)),  # half an hour
        ("Australia/Lord_Howe", date(2026, 10, 4)),
        ("Africa/Cairo", date(2025, 4, 25)),  # midnight does not exist
        ("America/Santiago", date(2026, 9, 6)),
        ("Pacific/Apia", date(2026, 4, 5)),
        ("Asia/Kolkata", date(2026, 4, 5)),
    ],
)
@pytest.mark.parametrize(("opens", "closes"), [("00:00", "08:00"), ("01:30", "02:30"), ("05:00", "08:00")])
def test_windows_follow_the_rules_for_gaps_and_overlaps(
    take_part: Take, zone: str, day: date, opens: str, closes: str
) -> None:
    """Rules 1 and 3: gaps move times forward, overlaps open at the first and close at the second occurrence."""
    found = between(take_part(zone, opens, closes), day, day)
    opening, closing = instant(zone, day, opens, fold=0), instant(zone, day, closes, fold=1)
    if closing <= opening:
        nominal = datetime.combine(day, time.fromisoformat(closes)) - datetime.combine(day, time.fromisoformat(opens))
        wall = opening.astimezone(ZoneInfo(zone)).replace(tzinfo=None) + nominal
        closing = instant(zone, wall.date(), wall.time().isoformat(), fold=1)
    assert found == {day: (opening, closing)}


def test_a_date_that_the_zone_skipped_has_no_window(take_part: Take) -> None:
    """Rule 4: in Samoa the 31st followed the 29th."""
    start = datetime(2011, 12, 1, tzinfo=UTC)
    participant = take_part("Pacific/Apia", "05:00", "08:00", starts_at=start, joined_at=start)
    found = between(participant, date(2011, 12, 28), date(2012, 1, 1))
    assert sorted(found) == [date(2011, 12, 28), date(2011, 12, 29), date(2011, 12, 31), date(2012, 1, 1)]


def test_a_window_over_midnight_belongs_to_the_date_it_opens(take_part: Take) -> None:
    found = between(take_part("Europe/Berlin", "22:00", "02:00"), date(2026, 6, 1), date(2026, 6, 1))
    assert found == {date(2026, 6, 1): (datetime(2026, 6, 1, 20, tzinfo=UTC), datetime(2026, 6, 2, 0, tzinfo=UTC))}


def test_windows_of_one_participant_never_overlap(take_part: Take) -> None:
    """Rule 2: in the autumn night the first window stays open until the second occurrence of its closing time."""
    found = between(take_part("Europe/Berlin", "02:00", "02:30"), date(2026, 10, 24), date(2026, 10, 26))
    participant = take_part("Europe/Berlin", "02:30", "02:00")
    ordered = sorted(between(participant, date(2026, 10, 23), date(2026, 10, 27)).values())
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(ordered))
    assert len(found) == 3
    assert len(ordered) == 5


def test_windows_open_on_scheduled_days_in_the_zone_of_the_scope(take_part: Take) -> None:
    local = take_part("Asia/Tokyo", "05:00", "08:00", days=["mon", "fri"])
    found = between(local, date(2026, 6, 1), date(2026, 6, 7))
    assert sorted(found) == [date(2026, 6, 1), date(2026, 6, 5)]
    assert found[date(2026, 6, 1)][0] == datetime(2026, 5, 31, 20, tzinfo=UTC)
    shared = take_part("Asia/Tokyo", "05:00", "08:00", days=["mon"], scope="challenge_tz")
    assert between(shared, date(2026, 6, 1), date(2026, 6, 1)) == {date(2026, 6, 1): found[date(2026, 6, 1)]}


def test_windows_are_clipped_to_the_challenge_and_start_after_joining(take_part: Take) -> None:
    """Rule 5."""
    starts, ends = datetime(2026, 6, 1, 6, 30, tzinfo=UTC), datetime(2026, 6, 4, 7, tzinfo=UTC)
    joined = datetime(2026, 6, 2, 8, tzinfo=UTC)
    participant = take_part("UTC", "06:00", "08:00", starts_at=starts, ends_at=ends, joined_at=joined)
    assert between(participant, date(2026, 5, 30), date(2026, 6, 6)) == {
        date(2026, 6, 3): (datetime(2026, 6, 3, 6, tzinfo=UTC), datetime(2026, 6, 3, 8, tzinfo=UTC)),
        date(2026, 6, 4): (datetime(2026, 6, 4, 6, tzinfo=UTC), ends),
    }
    early = take_part("UTC", "06:00", "08:00", starts_at=starts, ends_at=ends, joined_at=START)
    assert between(early, date(2026, 6, 1), date(2026, 6, 1))[date(2026, 6, 1)][0] == starts


class TestStored:
    NOW = datetime(2026, 6, 3, 12, tzinfo=UTC)

    def test_windows_are_stored_from_yesterday_to_the_day_after_tomorrow(
        self, take_part: Take, database: Database
    ) -> None:
        participants = [take_part(zone, "05:00", "08:00") for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Niue")]
        with db.as_system("test") as tx:
            last = windows.precompute_batch(tx, UUID(int=0), 2, self.NOW)
            assert last == sorted(participants)[1]
            last = windows.precompute_batch(tx, last, 2, self.NOW)
            assert last == sorted(participants)[2]
            assert windows.precompute_batch(tx, last, 2, self.NOW) is None
        rows = database.execute(
            "select p.timezone, min(local_date), max(local_date), count(*) from challenges.windows w"
            " join challenges.participants p on p.id = w.participant_id group by 1 order by 1"
        )
        assert rows == [
            ("Pacific/Kiritimati", date(2026, 6, 3), date(2026, 6, 6), 4),
            ("Pacific/Niue", date(2026, 6, 2), date(2026, 6, 5), 4),
            ("UTC", date(2026, 6, 2), date(2026, 6, 5), 4),
        ]

    def test_precomputing_again_changes_nothing(self, take_part: Take, database: Database) -> None:
        take_part("UTC", "05:00", "08:00")
        snapshot = "select xmin, ctid from challenges.windows union all select xmin, ctid from notifications.reminders"
        with db.as_system("test") as tx:
            windows.precompute_batch(tx, UUID(int=0), 10, self.NOW)
        before = database.execute(snapshot)
        with db.as_system("test") as tx:
            windows.precompute_batch(tx, UUID(int=0), 10, self.NOW)
        assert database.execute(snapshot) == before
        assert before

    def test_reminders_are_due_before_windows_close(self, take_part: Take, database: Database) -> None:
        take_part("UTC", "05:00", "08:00")
        with db.as_system("test") as tx:
            windows.precompute_batch(tx, UUID(int=0), 10, self.NOW)
        rows = database.execute(
            "select local_date, due_at from notifications.reminders where skipped is null order by 1"
        )
        assert rows == [(date(2026, 6, day), datetime(2026, 6, day, 7, tzinfo=UTC)) for day in (4, 5)]

    def test_a_stored_window_takes_precedence_over_a_computed_one(self, take_part: Take, database: Database) -> None:
        participant = take_part("UTC", "05:00", "08:00")
        with db.as_system("test") as tx:
            windows.precompute_batch(tx, UUID(int=0), 10, self.NOW)
        database.execute("update challenges.windows set opens_at = opens_at - interval '1 minute'")
        assert between(participant, date(2026, 6, 4), date(2026, 6, 4)) == {
            date(2026, 6, 4): (datetime(2026, 6, 4, 4, 59, tzinfo=UTC), datetime(2026, 6, 4, 8, tzinfo=UTC))
        }

    def test_the_current_window_is_open_or_the_next_one(self, take_part: Take) -> None:
        weekly = take_part("UTC", "05:00", "08:00", days=["mon"])
        late = take_part("UTC", "05:00", "08:00", starts_at=datetime(2027, 5, 1, tzinfo=UTC))
        over = take_part("UTC", "05:00", "08:00", ends_at=self.NOW)
        expected = {weekly: date(2026, 6, 8), late: date(2027, 5, 1), over: None}
        for participant, local_date in expected.items():
            with db.as_system("test", read_only=True) as tx:
                window = windows.current(tx, participant, self.NOW)
            assert (window.local_date if window else None) == local_date


class TestMoved:
    @pytest.fixture
    def move(self, database: Database) -> Move:
        """The participant moves to a zone at an instant."""

        def move(participant: UUID, zone: str, now: datetime) -> None:
            [(user,)] = database.execute(
                "select user_id from challenges.participants where id = %(id)s", id=participant
            )
            with connect(database) as own, acting(own, user) as tx:
                zone_change.move_participant(tx, participant, zone, now)

        return move

    def now(self, participant: UUID, now: datetime) -> windows.Window | None:
        with db.as_system("test", read_only=True) as tx:
            return windows.current(tx, participant, now)

    @pytest.mark.parametrize("zone", ["Asia/Tokyo", "Pacific/Pago_Pago", "Pacific/Kiritimati"])
    def test_an_open_window_stays_after_a_change_of_zone(self, take_part: Take, move: Move, zone: str) -> None:
        participant = take_part("Europe/Berlin", "09:00", "12:00")
        now = datetime(2026, 6, 10, 8, tzinfo=UTC)  # 10:00 in Berlin
        before = self.now(participant, now)
        move(participant, zone, now)
        after = self.now(participant, now)
        assert before is not None
        assert after is not None
        assert (after.local_date, after.opens_at, after.closes_at) == (
            before.local_date,
            before.opens_at,
            before.closes_at,
        )

    def test_the_job_adds_no_past_window_after_a_change_of_zone(
        self, take_part: Take, move: Move, database: Database
    ) -> None:
        start = datetime(2026, 6, 9, 20, tzinfo=UTC)
        participant = take_part("Pacific/Kiritimati", "05:00", "08:00", starts_at=start, joined_at=start)
        now = datetime(2026, 6, 10, 20, tzinfo=UTC)  # 09:00 on the 10th in Pago Pago
        move(participant, "Pacific/Pago_Pago", now)
        with db.as_system("test") as tx:
            windows.precompute_batch(tx, UUID(int=0), 10, now)
        invented = database.execute(
            "select local_date from challenges.windows where timezone = 'Pacific/Pago_Pago' and opens_at <= %(now)s",
            now=now,
        )
        assert invented == []

    def test_windows_do_not_overlap_after_a_change_of_zone(self, take_part: Take, move: Move) -> None:
        participant = take_part("Pacific/Kiritimati", "00:00", "00:00")
        move(participant, "Pacific/Pago_Pago", datetime(2026, 6, 10, 12, tzinfo=UTC))
        spans = sorted(between(participant, date(2026, 6, 9), date(2026, 6, 16)).values())
        assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))
        assert all(opening < closing for opening, closing in spans)


HALF_HOURS = st.sampled_from([f"{hour:02}:{minute:02}" for hour in range(24) for minute in (0, 30)])
ZONES = st.sampled_from(
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/St_Johns", "Asia/Tokyo"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(zone=ZONES, opens=HALF_HOURS, closes=HALF_HOURS, first=st.dates(date(2024, 2, 1), date(2027, 10, 1)))
def test_every_date_has_a_window_and_none_overlap(
    take_part: Take, zone: str, opens: str, closes: str, first: date
) -> None:
    """Sixty days of random schedules in several zones: one window per date, in order, none empty."""
    last = first + timedelta(days=60)
    found = between(take_part(zone, opens, closes), first, last)
    assert sorted(found) == [first + timedelta(days=n) for n in range(61)]
    spans: list[Any] = [found[day] for day in sorted(found)]
    assert all(opening < closing for opening, closing in spans)
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))
