"""The nightly check of counts, by the real handler."""

from collections.abc import Callable

import pytest

from challenges.jobs import nightly_handler
from tests.api import Context
from tests.challenges.crowd import Made
from tests.conftest import Database


class TestCountsJob:
    def test_finds_a_count_that_is_wrong_and_says_which(
        self, make: Callable[..., Made], database: Database, logs: Callable[[], str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = [make(), make()]
        assert nightly_handler({}, Context()) == {"counts": 2, "standings": 2, "wrong": 0}
        database.execute("update challenges.challenges set participant_count = 5 where id = %(id)s", id=made[1]["id"])
        with pytest.raises(RuntimeError, match="1 of 2 challenges"):
            nightly_handler({}, Context())
        assert made[1]["id"] in logs()
        assert made[0]["id"] not in logs()
        assert '"CountsWrong":[1.0]' in capsys.readouterr().out
        # it is looked at, not mended: what counted wrong would do so again
        assert database.execute("select max(participant_count) from challenges.challenges") == [(5,)]

    def test_goes_on_where_a_batch_ends(
        self, make: Callable[..., Made], database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(5):
            make()
        monkeypatch.setattr("challenges.jobs.BATCH", 2)
        assert nightly_handler({}, Context()) == {"counts": 5, "standings": 5, "wrong": 0}
