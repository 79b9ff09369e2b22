"""The nightly check of participant counts and standings, through the real handler."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from challenges import standings
from challenges.jobs import nightly_handler
from chally import db
from tests.support.api import LambdaContext
from tests.support.challenges import ChallengeJson
from tests.support.database import Database
from tests.support.people import insert_users
from tests.support.season import Season, season


class TestCountsJob:
    def test_the_nightly_job_reports_a_wrong_participant_count(
        self,
        make: Callable[..., ChallengeJson],
        database: Database,
        logs: Callable[[], str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        made = [make(), make()]
        assert nightly_handler({}, LambdaContext()) == {
            "counts": 2,
            "standings": 2,
            "wrong": 0,
            "zones_differ": 0,
            "clock_changes": 0,
        }
        database.execute("update challenges.challenges set participant_count = 5 where id = %(id)s", id=made[1]["id"])
        with pytest.raises(RuntimeError, match="1 of 2 challenges"):
            nightly_handler({}, LambdaContext())
        assert made[1]["id"] in logs()
        assert made[0]["id"] not in logs()
        assert '"CountsWrong":[1.0]' in capsys.readouterr().out
        # the job only reports: the same bug would corrupt a repair
        assert database.execute("select max(participant_count) from challenges.challenges") == [(5,)]

    def test_the_nightly_job_checks_counts_in_batches(
        self, make: Callable[..., ChallengeJson], database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(5):
            make()
        monkeypatch.setattr("challenges.jobs.BATCH", 2)
        assert nightly_handler({}, LambdaContext()) == {
            "counts": 5,
            "standings": 5,
            "wrong": 0,
            "zones_differ": 0,
            "clock_changes": 0,
        }


PROVE = """
    insert into proofs.proofs (challenge_id, participant_id, user_id, local_date, opens_at, closes_at, status,
        content_type, content_length, sha256, object_key, created_at)
    select p.challenge_id, p.id, p.user_id, w.local_date, w.opens_at, w.closes_at, %(status)s, 'image/jpeg', 1,
           sha256(''), gen_random_uuid(), w.opens_at
    from challenges.windows w join challenges.participants p on p.id = w.participant_id
    where p.id = %(id)s and w.local_date = %(day)s
"""


class TestStandingsJob:
    @pytest.fixture
    def run(self, database: Database) -> Season:
        """Two people. The first proved two of three days, one of them with a proof that replaced another."""
        made = season(database, insert_users(database, 2), first=datetime(2026, 11, 2, tzinfo=UTC), days=3)
        someone = made.participants[0]
        for day, status in ((0, "replaced"), (0, "accepted"), (1, "rejected"), (2, "accepted")):
            database.execute(PROVE, id=someone, day=made.days[day], status=status)
        with db.as_system("test") as tx:
            standings.record(tx, someone, made.days[0], "accepted")
            standings.record(tx, someone, made.days[1], "missed")
            standings.record(tx, someone, made.days[2], "accepted")
            standings.record(tx, made.participants[1], made.days[0], "missed")
        return made

    def test_the_nightly_job_reports_nothing_if_all_standings_are_correct(self, run: Season) -> None:
        assert nightly_handler({}, LambdaContext()) == {
            "counts": 1,
            "standings": 2,
            "wrong": 0,
            "zones_differ": 0,
            "clock_changes": 0,
        }

    @pytest.mark.parametrize(
        "damage",
        [
            "update challenges.standings set points = points + 1",
            "update challenges.standings set current_streak = 2",
            "update challenges.standings set best_streak = 2",
            "update challenges.standings set missed = 0",
            "update challenges.standings set grace_spent = 1",
            "update challenges.standings set last_decided = last_decided - 1",
            "update challenges.standings set present = false",
            "update challenges.windows set outcome = 'missed'",
            # here the standing matches the windows, but the windows do not match the proofs
            "update proofs.proofs set status = 'rejected'",
            "update proofs.proofs set local_date = local_date - 1",
        ],
    )
    def test_the_nightly_job_reports_a_wrong_standing_and_repairs_nothing(
        self,
        run: Season,
        database: Database,
        logs: Callable[[], str],
        capsys: pytest.CaptureFixture[str],
        damage: str,
    ) -> None:
        someone, other = run.participants
        whose = " where participant_id = %(id)s"
        database.execute(damage + whose, id=someone)
        before = run.standing(someone)
        with pytest.raises(RuntimeError, match="1 of 2 standings"):
            nightly_handler({}, LambdaContext())
        assert str(someone) in logs()
        assert str(other) not in logs()
        said = capsys.readouterr().out
        assert '"StandingsWrong":[1.0]' in said
        assert '"CountsWrong":[0.0]' in said
        assert run.standing(someone) == before

    def test_the_nightly_job_checks_standings_in_batches(
        self, run: Season, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("challenges.jobs.BATCH", 1)
        assert nightly_handler({}, LambdaContext()) == {
            "counts": 1,
            "standings": 2,
            "wrong": 0,
            "zones_differ": 0,
            "clock_changes": 0,
        }
        for each in run.participants:
            database.execute("update challenges.standings set missed = 9 where participant_id = %(id)s", id=each)
        with pytest.raises(RuntimeError, match="2 of 2 standings"):
            nightly_handler({}, LambdaContext())
