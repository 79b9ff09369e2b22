"""Standings are updated step by step, and always equal to their recomputation."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from challenges import standings
from challenges.language import Scoring
from challenges.rules import Outcome
from challenges.score import Score, add_outcomes
from chally import db
from chally.db import Params, Tx
from tests.support.database import Database
from tests.support.people import insert_users
from tests.support.season import DAY, Season, season

FIRST = datetime(2026, 11, 2, tzinfo=UTC)
MISSED: Outcome = "missed"
GRACE = Scoring(grace_days=1)


@pytest.fixture
def people(database: Database) -> list[UUID]:
    return insert_users(database, 5)


@pytest.fixture
def run(database: Database, people: list[UUID]) -> Season:
    """A challenge of ten days with five participants and one grace day."""
    return season(database, people, first=FIRST, days=10, scoring=GRACE)


def record(participant: UUID, day: date, outcome: Outcome) -> None:
    with db.as_system("test") as tx:
        standings.record(tx, participant, day, outcome)


def retract(participant: UUID, day: date, now: datetime) -> None:
    with db.as_system("test") as tx:
        standings.retract(tx, participant, day, now)


def close(now: datetime, limit: int = 1_000) -> int:
    with db.as_system("test") as tx:
        return standings.close_overdue(tx, now, limit)


def all_right() -> bool:
    """Return whether the nightly check finds all standings correct."""
    with db.as_system("test", read_only=True) as tx:
        checked, _ = standings.check(tx, UUID(int=0), 1_000)
    return bool(checked) and all(each.is_correct for each in checked)


class TestRecord:
    def test_the_same_outcome_again_changes_nothing(self, run: Season) -> None:
        someone = run.participants[0]
        for day, outcome in enumerate(("accepted", "missed", "excused", "accepted")):
            for _ in range(2):
                record(someone, run.days[day], outcome)  # type: ignore[arg-type]
        assert run.standing(someone).score == Score(10 + 11, 2, 2, 2, 1, grace_spent=1)
        record(someone, run.days[1], "missed")
        record(someone, run.days[0], "accepted")
        assert run.standing(someone).score == Score(10 + 11, 2, 2, 2, 1, grace_spent=1)

    @pytest.mark.parametrize(
        ("first", "then", "stays"),
        [
            ("accepted", "missed", "accepted"),
            ("accepted", "excused", "accepted"),
            ("missed", "excused", "missed"),
            ("excused", "missed", "excused"),
            ("missed", "accepted", "accepted"),
            ("excused", "accepted", "accepted"),
        ],
    )
    def test_an_outcome_is_final_unless_it_is_accepted_late(
        self, run: Season, first: Outcome, then: Outcome, stays: Outcome
    ) -> None:
        someone = run.participants[0]
        record(someone, run.days[0], first)
        record(someone, run.days[0], then)
        assert run.outcomes(someone) == {run.days[0]: stays}
        assert run.standing(someone).score == run.counted(someone, GRACE)

    def test_a_late_verdict_restores_the_streak(self, run: Season) -> None:
        someone = run.participants[0]
        for day, outcome in enumerate(("accepted", "missed", "missed", "accepted")):
            record(someone, run.days[day], outcome)  # type: ignore[arg-type]
        assert run.standing(someone).score == Score(20, 1, 1, 2, 2, grace_spent=1)
        record(someone, run.days[2], "accepted")
        assert run.standing(someone).score == Score(10 + 11 + 12, 3, 3, 3, 1, grace_spent=1)


class TestClosing:
    def test_unproved_windows_of_all_participants_are_missed_together(self, run: Season) -> None:
        record(run.participants[0], run.days[0], "accepted")
        record(run.participants[0], run.days[1], "accepted")
        assert close(FIRST + 2 * DAY + timedelta(minutes=19)) == 4  # only windows of the first day
        assert close(FIRST + 2 * DAY + timedelta(minutes=20)) == 4
        assert close(FIRST + 2 * DAY + timedelta(minutes=20)) == 0
        assert [run.standing(each).score.missed for each in run.participants] == [0, 2, 2, 2, 2]
        assert all_right()

    def test_several_days_of_one_participant_close_together(self, run: Season) -> None:
        someone = run.participants[0]
        record(someone, run.days[0], "accepted")
        record(someone, run.days[3], "accepted")
        close(FIRST + 6 * DAY)
        assert run.standing(someone).score == run.counted(someone, GRACE)
        assert run.standing(someone).score.missed == 3

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [("paused", "excused"), ("canceled", "excused"), ("deleted", "excused"), ("archived", "missed")],
    )
    def test_windows_that_closed_while_not_running_are_excused(
        self, run: Season, status: str, outcome: Outcome
    ) -> None:
        """An archived challenge ran until it ended, so archiving it at once does not excuse the last day."""
        run.run("update challenges.challenges set status = %(status)s where id = %(challenge)s", status=status)
        close(FIRST + 2 * DAY)
        assert set(run.outcomes(run.participants[0]).values()) == {outcome}
        assert all_right()

    def test_closing_1000_windows_takes_as_many_statements_as_one(self, run: Season, database: Database) -> None:
        class Counting(Tx):
            sent = 0

            def all[T](self, sql: str, params: Params, *, row: type[T]) -> list[T]:
                self.sent += 1
                return super().all(sql, params, row=row)

            def run(self, sql: str, params: Params) -> None:
                self.sent += 1
                super().run(sql, params)

        def statements(act: Callable[[Tx], object]) -> int:
            with psycopg.connect(database.system) as connection:
                tx = Counting(connection, None)
                act(tx)
                return tx.sent

        someone = run.participants[0]
        record(someone, run.days[0], "accepted")
        # in order: lock overdue windows, write outcomes, lock standings, write standings
        assert statements(lambda tx: standings.record(tx, someone, run.days[2], "accepted")) == 3
        assert statements(lambda tx: standings.record(tx, someone, run.days[1], "accepted")) == 4
        assert statements(lambda tx: standings.record(tx, someone, run.days[1], "accepted")) == 1
        assert statements(lambda tx: standings.close_overdue(tx, FIRST + 2 * DAY, 1)) == 4
        assert statements(lambda tx: standings.close_overdue(tx, FIRST + 20 * DAY, 1_000)) == 4
        assert len(run.outcomes(someone)) == 10


class TestRetract:
    NOW = FIRST + 5 * DAY + timedelta(minutes=10)  # days 0 to 3 are overdue, day 4 waits for verdicts, day 5 is open

    @pytest.mark.parametrize(
        ("day", "status", "becomes"),
        [
            (3, "active", "missed"),
            (3, "archived", "missed"),
            (3, "paused", "excused"),
            (4, "active", None),
            (4, "paused", None),
            (5, "active", None),
        ],
    )
    def test_a_retracted_window_is_undecided_missed_or_excused(
        self, run: Season, day: int, status: str, becomes: Outcome | None
    ) -> None:
        someone = run.participants[0]
        for accepted in (2, 3, 4, 5):
            record(someone, run.days[accepted], "accepted")
        run.run("update challenges.challenges set status = %(status)s where id = %(challenge)s", status=status)
        for _ in range(2):
            retract(someone, run.days[day], self.NOW)
            assert run.outcomes(someone).get(run.days[day]) == becomes
            assert run.standing(someone).score == run.counted(someone, GRACE)
            assert run.standing(someone).score.accepted == 3
        assert all_right()

    def test_only_an_accepted_window_can_be_retracted(self, run: Season) -> None:
        someone = run.participants[0]
        record(someone, run.days[0], "excused")
        record(someone, run.days[1], "missed")
        for day in (run.days[0], run.days[1], run.days[2], FIRST.date() - DAY):
            retract(someone, day, FIRST + 9 * DAY)
        assert run.outcomes(someone) == {run.days[0]: "excused", run.days[1]: "missed"}

    def test_a_retracted_window_can_be_proved_again_or_missed(self, run: Season) -> None:
        first, second = run.participants[:2]
        for each in (first, second):
            record(each, run.days[5], "accepted")
            retract(each, run.days[5], self.NOW)
            assert run.standing(each).score == Score()
        record(first, run.days[5], "accepted")
        close(FIRST + 7 * DAY)
        assert (run.standing(first).score.accepted, run.standing(second).score.accepted) == (1, 0)
        assert run.outcomes(second)[run.days[5]] == "missed"
        assert all_right()


DECISIONS = st.tuples(st.integers(0, 6), st.sampled_from(("accepted", "missed", "excused", "retract", "close")))
TERMS = st.builds(
    Scoring, points=st.integers(0, 20), streak_bonus=st.integers(0, 3), grace_days=st.integers(0, 3)
)  # fmt: skip


@given(terms=TERMS, decisions=st.lists(DECISIONS, max_size=14))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_standings_match_the_outcomes_in_any_order_of_decisions(
    database: Database, people: list[UUID], terms: Scoring, decisions: list[tuple[int, Any]]
) -> None:
    """Outcomes also match a model that does not use the database."""
    played = season(database, people[:1], first=FIRST, days=7, scoring=terms)
    (someone,) = played.participants
    now = FIRST + 4 * DAY + timedelta(minutes=30)  # four of the seven days are over
    over = set(played.days[:4])
    model: dict[date, Outcome] = {}
    for number, what in decisions:
        day = played.days[number]
        if what == "retract":
            retract(someone, day, now)
            if model.get(day) == "accepted":
                model.pop(day)
                model |= {day: "missed"} if day in over else {}
        elif what == "close":
            close(now)
            model = {**dict.fromkeys(over, MISSED), **model}
        else:
            record(someone, day, what)
            if day not in model or what == "accepted":
                model[day] = what
        assert played.outcomes(someone) == model
        expected = add_outcomes(Score(), (model[each] for each in sorted(model)), terms)
        assert played.standing(someone).score == expected
    assert all_right()


class TestAtOnce:
    def test_a_verdict_and_the_closing_of_its_window_do_not_deadlock(self, run: Season, database: Database) -> None:
        """The closing job has locked the window when a verdict arrives: the second waits, without a deadlock."""
        someone = run.participants[0]
        verdict = threading.Thread(target=self.verdict, args=(database, someone, run.days[0]))
        with db.as_system("close overdue windows") as tx:
            held = tx.value(
                "select pg_backend_pid() from challenges.windows where participant_id = %(id)s for update",
                {"id": someone},
            )
            verdict.start()
            while not database.execute(
                "select 1 from pg_stat_activity where %(pid)s = any(pg_blocking_pids(pid))", pid=held
            ):
                pass
            assert standings.close_overdue(tx, FIRST + DAY + timedelta(hours=1), 10) == 5
        verdict.join()
        assert run.outcomes(someone) == {run.days[0]: "accepted"}
        assert run.standing(someone).score == Score(10, 1, 1, 1, 0)

    def verdict(self, database: Database, participant: UUID, day: date) -> None:
        """A second Lambda environment, with its own connection."""
        with psycopg.connect(database.system) as connection:
            standings.record(Tx(connection, None), participant, day, "accepted")

    @pytest.fixture
    def connections(self, database: Database) -> Iterator[list[psycopg.Connection[Any]]]:
        opened = [psycopg.connect(database.system, autocommit=True) for _ in range(6)]
        yield opened
        for connection in opened:
            connection.close()

    def test_standings_are_correct_after_concurrent_and_repeated_decisions(
        self, run: Season, connections: list[psycopg.Connection[Any]]
    ) -> None:
        chance = random.Random(4)
        proved = {(participant, day) for participant in run.participants for day in run.days if chance.random() < 0.6}
        verdicts = [*proved, *proved]
        chance.shuffle(verdicts)
        start = threading.Barrier(len(connections))

        def decide(number: int) -> None:
            connection = connections[number]
            start.wait()
            for participant, day in verdicts[number :: len(connections)]:
                with connection.transaction():
                    standings.record(Tx(connection, None), participant, day, "accepted")
                with connection.transaction():
                    standings.close_overdue(Tx(connection, None), FIRST + 20 * DAY, 3)

        with ThreadPoolExecutor(len(connections)) as pool:
            list(pool.map(decide, range(len(connections))))
        for participant in run.participants:
            assert run.outcomes(participant) == {
                day: "accepted" if (participant, day) in proved else "missed" for day in run.days
            }
            assert run.standing(participant).score == run.counted(participant, GRACE)
        assert all_right()
