"""What challenges decide, without a database."""

from datetime import UTC, datetime, timedelta

import pytest

from challenges import rules
from challenges.language import Rules, Schedule, Scoring
from challenges.rules import Outcome, Score
from chally.errors import Invalid

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
            ([A, A, M, A], 1, Score(10 + 11 + 12, 3, 3, 3, 1)),
            ([A, M, A, M, A], 1, Score(10 + 11 + 10, 1, 2, 3, 2)),
            ([M, A], 1, Score(10, 1, 1, 1, 1)),  # no streak, so no grace day is spent
            ([A, M], 0, Score(10, 0, 1, 1, 1)),
        ],
    )
    def test_points_streaks_and_grace(self, outcomes: list[Outcome], grace_days: int, expected: Score) -> None:
        scoring = Scoring(points=10, streak_bonus=1, grace_days=grace_days)
        assert rules.score(outcomes, scoring) == expected


class TestState:
    def test_an_active_challenge_runs_through_its_period(self) -> None:
        starts, ends = NOW, NOW + timedelta(days=1)
        states = [rules.runtime_state("active", starts, ends, starts + timedelta(hours=h)) for h in (-1, 0, 23, 24)]
        assert states == ["upcoming", "started", "started", "ended"]
        assert rules.runtime_state("paused", starts, ends, NOW) == "paused"

    def test_every_step_of_the_table_and_no_other(self) -> None:
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


class TestLanguage:
    def test_the_contracts_example_is_valid(self) -> None:
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
        assert Rules.model_validate({"schedule": example["schedule"]}).model_dump() == example  # the defaults

    def test_a_check_that_is_not_enforced_cannot_be_asked_for(self) -> None:
        with pytest.raises(ValueError, match="overlay"):
            Rules.model_validate(
                {"schedule": {"days": ["mon"], "opens": "05:00", "closes": "08:00"}, "anti_cheat": {"overlay": True}}
            )


class TestPeriod:
    def schedule(self, *days: str, opens: str = "05:00", closes: str = "08:00") -> Schedule:
        return Schedule.model_validate({"days": days, "opens": opens, "closes": closes, "scope": "challenge_tz"})

    def check(self, schedule: Schedule, starts: datetime, ends: datetime, zone: str = "UTC") -> None:
        rules.check_period(schedule, zone=zone, starts_at=starts, ends_at=ends, now=NOW)

    def test_a_sliver_of_a_window_is_enough(self) -> None:
        wednesday = datetime(2026, 6, 10, 7, 59, tzinfo=UTC)
        self.check(self.schedule("wed"), wednesday, wednesday + timedelta(minutes=5))
        with pytest.raises(Invalid):
            self.check(self.schedule("wed"), wednesday + timedelta(minutes=1), wednesday + timedelta(minutes=5))

    def test_yesterdays_window_over_midnight_counts(self) -> None:
        thursday = datetime(2026, 6, 11, 1, tzinfo=UTC)
        self.check(self.schedule("wed", opens="22:00", closes="02:00"), thursday, thursday + timedelta(hours=2))

    def test_a_long_challenge_has_every_weekday(self) -> None:
        for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun"):
            self.check(self.schedule(day), NOW, NOW + timedelta(days=8), "Pacific/Kiritimati")
