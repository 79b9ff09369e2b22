"""The nightly retention: which rows it deletes, and when."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from chally import clock, db
from identity import retention
from identity.jobs import nightly_handler
from tests.support.api import Client, LambdaContext
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.personal_data import leave_traces

At = Callable[[datetime], None]


@pytest.fixture
def kari(person: SignUp) -> Client:
    return person("kari")


def nightly() -> dict[str, int]:
    return dict(nightly_handler({}, LambdaContext()))


def count(database: Database) -> dict[str, int]:
    tables = {name: f"{'core' if name in ('rate_limits', 'audit') else 'identity'}.{name}" for name in retention.SWEEPS}
    return {name: database.execute(f"select count(*) from {table}")[0][0] for name, table in tables.items()}


class TestTidy:
    def test_old_rows_are_deleted_and_newer_ones_stay(self, person: SignUp, database: Database, at: At) -> None:
        leave_traces(person, database)
        swept = tuple(retention.SWEEPS)
        now = clock.now()
        database.execute(  # a token that was rotated
            "insert into identity.refresh_tokens select 'old', id, generation - 1, now() + interval '29 days'"
            " from identity.sessions limit 1"
        )
        kept = count(database)
        nightly()
        assert count(database) | {"rate_limits": 0} == kept | {"rate_limits": 0}  # rate limits of a minute have expired
        at(now + timedelta(hours=25))
        nightly()
        gone = {"rate_limits", "mail_links", "registrations", "pending_sign_ins", "passkey_challenges"}
        left = count(database)
        assert {name for name in swept if left[name] == 0} == gone | {"login_failures"}
        at(now + timedelta(days=29, hours=1))
        nightly()
        assert count(database)["refresh_tokens"] == kept["refresh_tokens"] - 1
        at(now + timedelta(days=30 + 89))
        nightly()
        assert count(database)["sessions"] == kept["sessions"]
        at(now + timedelta(days=30 + 91))
        nightly()
        assert (count(database)["sessions"], count(database)["refresh_tokens"]) == (0, 0)
        at(now + timedelta(days=399))
        nightly()
        assert count(database)["audit"] == kept["audit"]
        at(now + timedelta(days=401))
        assert nightly()["deleted"] == kept["audit"]
        assert count(database) == dict.fromkeys(swept, 0)
        assert database.execute("select count(*) from identity.users") == [(1,)]

    def test_a_failed_sweep_does_not_stop_the_others(
        self, person: SignUp, database: Database, at: At, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leave_traces(person, database)
        at(clock.now() + timedelta(days=500))

        def fail(tx: db.Tx, now: datetime) -> int:
            raise TimeoutError

        monkeypatch.setattr(retention, "SWEEPS", {"rate_limits": fail} | dict(retention.SWEEPS) | {"mail_links": fail})
        with pytest.raises(RuntimeError, match="1 sweeps"):
            nightly()
        assert count(database)["audit"] == 0

    def test_many_rows_are_deleted_in_batches(self, kari: Client, database: Database, at: At) -> None:
        database.execute(
            "insert into core.audit (at, action, user_id)"
            " select now(), 'signed_in', %(id)s from generate_series(1, %(n)s)",
            id=kari.user["id"],
            n=retention.BATCH + 5,
        )
        at(clock.now() + timedelta(days=401))
        nightly()
        assert count(database)["audit"] == 0
