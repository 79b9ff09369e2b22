"""Rules and scores of challenges, without a database."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from challenges import rules
from challenges.language import Rules, Schedule, Scoring
from challenges.rules import Outcome
from challenges.score import Score, add_outcomes
from chally.errors import InvalidRequest
from proofs.rules.status import ShownStatus

NOW = datetime(2026, 6, 3, 12, tzinfo=UTC)
A: Outcome = "accepted"
M: Outcome = "missed"


class TestScore:
    @pytest.mark.parametrize(
        ("outcomes", "grace_days", "expected"),
        [
            ([], 0, Score()),
            ([A], 0, Score(10, 1, 1, 1, 0)),
            ([A, A, A], 0, Score(10 + 11 + 12, 3, 3, 3, 0)),
            ([A, A, M, A], 0, Score(10 + 11 + 10, 1, 2, 3, 1)),
            ([A, A, M, A], 1, Score(10 + 11 + 12, 3, 3, 3, 1, grace_spent=1)),
            ([A, M, A, M, A], 1, Score(10 + 11 + 10, 1, 2, 3, 2, grace_spent=1)),
            ([M, A], 1, Score(10, 1, 1, 1, 1)),  # no streak, so no grace day is spent
            ([A, M], 0, Score(10, 0, 1, 1, 1)),
        ],
    )
    def test_points_streaks_and_grace_days_add_up(
        self, outcomes: list[Outcome], grace_days: int, expected: Score
    ) -> None:
        scoring = Scoring(points=10, streak_bonus=1, grace_days=grace_days)
        assert add_outcomes(Score(), outcomes, scoring) == expected


class TestState:
    def test_an_active_challenge_is_upcoming_then_started_then_ended(self) -> None:
        starts, ends = NOW, NOW + timedelta(days=1)
        states = [rules.runtime_state("active", starts, ends, starts + timedelta(hours=h)) for h in (-1, 0, 23, 24)]
        assert states == ["upcoming", "started", "started", "ended"]
        assert rules.runtime_state("paused", starts, ends, NOW) == "paused"

    def test_exactly_the_transitions_of_the_contract_are_allowed(self) -> None:
        allowed = set()
        for state, targets in rules.TRANSITIONS.items():
            for to in ("draft", "active", "paused", "canceled", "archived", "deleted"):
                try:
                    rules.check_transition(state, to, is_over=False)
                    allowed.add((state, to))
                except rules.InvalidTransition:
                    assert to not in targets
        assert allowed == {
            ("draft", "active"),
            ("upcoming", "paused"), ("started", "paused"), ("paused", "active"),
            ("upcoming", "canceled"), ("started", "canceled"), ("paused", "canceled"),
            ("ended", "archived"),
            *((state, "deleted") for state in rules.TRANSITIONS if state != "deleted"),
        }  # fmt: skip

    @pytest.mark.parametrize("to", ["active", "canceled", "deleted"])
    def test_a_challenge_that_is_over_can_end_but_not_be_activated(self, to: rules.ChallengeStatus) -> None:
        if to == "active":
            with pytest.raises(rules.InvalidTransition, match="over"):
                rules.check_transition("paused", to, is_over=True)
        else:
            rules.check_transition("paused", to, is_over=True)


class TestWindows:
    def test_proofs_of_a_window_have_the_statuses_that_proofs_show(self) -> None:
        """`challenges` cannot import `proofs`, so the statuses stand in both."""
        assert set(get_args(rules.WindowProofStatus)) == set(get_args(ShownStatus))


class TestEdit:
    """A challenge with ten places and five participants that runs from noon to noon."""

    def check(self, *changed: str, status: rules.ChallengeStatus = "active", hours: int = 0, places: int = 10) -> None:
        rules.check_edit(
            set(changed),
            status=status,
            starts_at=NOW,
            ends_at=NOW + timedelta(days=1),
            max_participants=places,
            participant_count=5,
            now=NOW + timedelta(hours=hours),
        )

    @pytest.mark.parametrize("field", sorted(rules.FROZEN_FIELDS))
    def test_the_schedule_is_frozen_from_the_first_instant(self, field: str) -> None:
        self.check(field, hours=-1)
        self.check(field, hours=0, status="draft")
        for status in ("active", "paused"):
            with pytest.raises(rules.ScheduleFrozen, match=field):
                self.check("title", field, status=status, hours=0)

    def test_every_field_is_frozen_from_the_end(self) -> None:
        self.check("title", hours=23)
        self.check("title", hours=24, status="draft")
        self.check(hours=24)  # no field changes
        for status in ("active", "paused"):
            with pytest.raises(rules.ChallengeOver):
                self.check("title", status=status, hours=24)

    def test_max_participants_must_cover_the_participants(self) -> None:
        self.check("max_participants", places=5)
        with pytest.raises(rules.TooFewPlaces):
            self.check("max_participants", places=4)


class TestLanguage:
    def test_the_example_of_the_contract_is_valid(self) -> None:
        example = {
            "version": 1,
            "schedule": {
                "days": ["mon", "wed", "fri"], "opens": "05:00", "closes": "08:00", "scope": "participant_local",
            },
            "proof": {
                "kind": "photo", "max_per_window": 1, "max_bytes": 10485760,
                "types": ["image/jpeg", "image/png", "image/webp"],
            },
            "anti_cheat": {"overlay": False, "exif_required": False, "phash_check": True, "strip_exif": True},
            "scoring": {"points": 10, "streak_bonus": 1, "grace_days": 0},
            "reminders": {"before_close_minutes": 60},
        }  # fmt: skip
        assert Rules.model_validate(example).model_dump() == example

    def test_all_but_the_schedule_has_defaults(self) -> None:
        schedule = {"days": ["mon"], "opens": "05:00", "closes": "08:00", "scope": "participant_local"}
        assert Rules.model_validate({"schedule": schedule}).model_dump() == {
            "version": 1,
            "schedule": schedule,
            "proof": {
                "kind": "photo", "max_per_window": 1, "max_bytes": 10485760,
                "types": ["image/jpeg", "image/png", "image/webp", "image/heic", "image/heif"],
            },
            "anti_cheat": {"overlay": False, "exif_required": False, "phash_check": True, "strip_exif": True},
            "scoring": {"points": 10, "streak_bonus": 1, "grace_days": 0},
            "reminders": {"before_close_minutes": 60},
        }  # fmt: skip


class TestPeriod:
    def schedule(self, *days: str, opens: str = "05:00", closes: str = "08:00") -> Schedule:
        return Schedule.model_validate({"days": [*days], "opens": opens, "closes": closes, "scope": "challenge_tz"})

    def check(self, schedule: Schedule, starts: datetime, ends: datetime, zone: str = "UTC") -> None:
        rules.check_period(schedule, zone=zone, starts_at=starts, ends_at=ends, now=NOW)

    def test_a_period_that_opens_one_window_briefly_is_valid(self) -> None:
        wednesday = datetime(2026, 6, 10, 7, 59, tzinfo=UTC)
        self.check(self.schedule("wed"), wednesday, wednesday + timedelta(minutes=5))
        with pytest.raises(InvalidRequest):
            self.check(self.schedule("wed"), wednesday + timedelta(minutes=1), wednesday + timedelta(minutes=5))

    def test_a_window_that_opened_the_day_before_the_start_counts(self) -> None:
        thursday = datetime(2026, 6, 11, 1, tzinfo=UTC)
        self.check(self.schedule("wed", opens="22:00", closes="02:00"), thursday, thursday + timedelta(hours=2))

    def test_a_long_challenge_has_every_weekday(self) -> None:
        for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun"):
            self.check(self.schedule(day), NOW, NOW + timedelta(days=8), "Pacific/Kiritimati")


def test_a_challenge_that_is_already_over_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        rules.check_period(
            Schedule(days=["wed"], opens="05:00", closes="08:00"),
            zone="UTC",
            starts_at=NOW - timedelta(hours=2),
            ends_at=NOW - timedelta(hours=1),
            now=NOW,
        )
    assert [error["pointer"] for error in caught.value.errors] == ["/ends_at"]


MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("starts", "ends", "pointer"),
    [
        (timedelta(days=-1), timedelta(days=30), None),
        (timedelta(days=-1) - MOMENT, timedelta(days=30), "/starts_at"),
        (timedelta(days=1098), timedelta(days=1128), None),
        (timedelta(days=1098) + MOMENT, timedelta(days=1128), "/starts_at"),
        (timedelta(days=1), timedelta(days=1099), None),
        (timedelta(days=1), timedelta(days=1099) + MOMENT, "/ends_at"),
        (timedelta(hours=-20), MOMENT, None),
        (timedelta(hours=-20), timedelta(0), "/ends_at"),
        (timedelta(days=2), timedelta(days=2), "/ends_at"),
    ],
)
def test_a_period_is_refused_from_the_first_moment_beyond_a_limit(
    starts: timedelta, ends: timedelta, pointer: str | None
) -> None:
    """At most a day ago, three years ahead, and three years long."""
    days: list[Any] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    schedule = Schedule(days=days, opens="00:00", closes="00:00")
    found = []
    try:
        rules.check_period(schedule, zone="UTC", starts_at=NOW + starts, ends_at=NOW + ends, now=NOW)
    except InvalidRequest as refused:
        found = [error["pointer"] for error in refused.errors]
    assert found == ([pointer] if pointer else [])


def test_an_edit_cannot_move_the_start_to_this_moment() -> None:
    rules.check_new_start(NOW + MOMENT, NOW)
    with pytest.raises(InvalidRequest):
        rules.check_new_start(NOW, NOW)


@pytest.mark.parametrize(
    ("after_close", "outcome"),
    [(rules.VERDICT_TIMEOUT - MOMENT, None), (rules.VERDICT_TIMEOUT, "missed")],
)
def test_a_window_waits_for_verdicts_until_the_last_moment(after_close: timedelta, outcome: str | None) -> None:
    assert rules.outcome_without_proof(NOW, NOW + after_close, was_running=True) == outcome


def test_a_window_is_open_from_its_first_moment_until_before_its_last() -> None:
    closes = NOW + timedelta(hours=1)
    states = [
        (rules.window_state(None, NOW, closes, at), rules.accepts_proofs("active", NOW, closes, at))
        for at in (NOW - MOMENT, NOW, closes - MOMENT, closes)
    ]
    assert states == [("upcoming", False), ("open", True), ("open", True), ("closed", False)]
