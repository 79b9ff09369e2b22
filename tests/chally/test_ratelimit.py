"""Limits, on the real Postgres: exactly as many as a row of `core.limits` says, and again exactly when we said."""

import ast
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chally import db, ratelimit
from chally import settings as chally_settings
from chally.errors import RateLimited
from chally.ratelimit import network
from infra.tools.bootstrap import ROOT
from tests.support.database import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def allowed(now: datetime, **subjects: str) -> bool:
    try:
        ratelimit.consume(now, **subjects)
    except RateLimited:
        return False
    return True


def wait(now: datetime, **subjects: str) -> timedelta:
    """How long Retry-After says to wait."""
    with pytest.raises(RateLimited) as refused:
        ratelimit.consume(now, **subjects)
    return timedelta(seconds=int(refused.value.headers["Retry-After"]))


@pytest.fixture
def limits(database: Database) -> None:
    """Limits of the tests' own, beside the real ones."""
    database.execute("""
        insert into core.limits (name, quantity, period, per, counts) values
            ('narrow', 3, '1 minute', 'account and ip', 'tests'),
            ('wide', 6, '1 minute', 'account', 'tests'),
            ('place', 2, '1 minute', 'ip', 'tests')
    """)


@pytest.mark.usefixtures("limits")
class TestOneLimit:
    def test_gives_exactly_its_quantity_at_once(self) -> None:
        assert [allowed(NOON, narrow="kari") for _ in range(5)] == [True, True, True, False, False]

    def test_then_one_per_share_of_the_period(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        later = [allowed(NOON + timedelta(seconds=second), narrow="kari") for second in range(1, 121)]
        assert [second for second, was in enumerate(later, 1) if was] == [20, 40, 60, 80, 100, 120]

    def test_is_whole_again_after_a_period(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        after = NOON + timedelta(minutes=1)
        assert [allowed(after, narrow="kari") for _ in range(4)] == [True, True, True, False]

    def test_retry_after_is_when_it_works_again(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        now = NOON + timedelta(seconds=7)
        again = now + wait(now, narrow="kari")
        assert again == NOON + timedelta(seconds=20)
        assert not allowed(again - timedelta(microseconds=1), narrow="kari")
        assert allowed(again, narrow="kari")

    def test_retry_after_is_never_too_short(self) -> None:
        """It is whole seconds, so it is rounded up."""
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        now = NOON + timedelta(seconds=19, milliseconds=999)
        assert wait(now, narrow="kari") == timedelta(seconds=1)

    def test_what_is_refused_is_not_counted(self) -> None:
        for _ in range(50):
            allowed(NOON, narrow="kari")
        assert wait(NOON, narrow="kari") == timedelta(seconds=20)

    def test_subjects_do_not_share(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        assert allowed(NOON, narrow="ola")

    def test_an_operator_may_change_it(self, database: Database) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        database.execute("update core.limits set quantity = 60 where name = 'narrow'")
        assert wait(NOON, narrow="kari") == timedelta(seconds=1)

    def test_keeps_no_subject_in_the_clear(self, database: Database) -> None:
        ratelimit.consume(NOON, narrow="kari@people.test")
        ((subject,),) = database.execute("select subject from core.rate_limits")
        assert len(subject) == 32
        assert b"kari" not in subject

    def test_old_rows_are_forgotten_and_no_others(self, database: Database) -> None:
        ratelimit.consume(NOON, narrow="old")
        ratelimit.consume(NOON + timedelta(minutes=10), narrow="new")
        with db.as_system("tests") as tx:
            assert ratelimit.delete_expired(tx, NOON + timedelta(minutes=10)) == 1
        assert database.execute("select count(*) from core.rate_limits") == [(1,)]

    @settings(
        max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
    )
    @given(st.lists(st.integers(0, 40_000), max_size=20))
    def test_is_a_bucket_that_leaks(self, gaps: list[int]) -> None:
        """Against the textbook: a bucket of `quantity` that fills by one every share of the period."""
        subject = uuid4().hex
        tokens, now = 3.0, NOON
        for milliseconds in gaps:
            now += timedelta(milliseconds=milliseconds)
            tokens = min(3.0, tokens + milliseconds / 20_000)
            expected = tokens >= 1 - 1e-9
            assert allowed(now, narrow=subject) is expected
            tokens -= expected


@pytest.mark.usefixtures("limits")
class TestSeveralLimits:
    def test_each_holds(self) -> None:
        """Three from each address, six from all of them together."""
        got = [allowed(NOON, narrow=f"kari {ip}", wide="kari") for ip in "abc" for _ in range(4)]
        assert got == [True, True, True, False, True, True, True, False, False, False, False, False]

    def test_the_longest_wait_counts(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="a", wide="kari")
        for _ in range(3):
            ratelimit.consume(NOON, narrow="b", wide="kari")
        assert wait(NOON, wide="kari") == timedelta(seconds=10)
        assert wait(NOON, narrow="a", wide="kari") == timedelta(seconds=20)

    def test_who_is_refused_by_one_uses_up_none_of_the_others(self) -> None:
        """One attacker at one address must not use up what the account has for everybody: its owner signs in."""
        for _ in range(40):
            allowed(NOON, narrow="kari attacker", wide="kari")
        assert [allowed(NOON, narrow="kari owner", wide="kari") for _ in range(4)] == [True, True, True, False]


@pytest.mark.usefixtures("limits")
class TestTransactions:
    def test_survives_a_rollback_of_the_request(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
            with pytest.raises(ZeroDivisionError), db.as_system("tests"):
                _ = 1 / 0
        assert not allowed(NOON, narrow="kari")

    @pytest.mark.parametrize("used_before", [True, False])
    def test_twenty_at_once_get_exactly_the_quantity(
        self, database: Database, monkeypatch: pytest.MonkeyPatch, used_before: bool
    ) -> None:
        """Also where no row is there yet to be locked."""
        if used_before:
            ratelimit.consume(NOON - timedelta(hours=1), narrow="kari", wide="kari")

        @contextmanager
        def own_connection() -> Iterator[db.Tx]:
            with psycopg.connect(database.app, prepare_threshold=None) as connection:
                yield db.Tx(connection, None)

        monkeypatch.setattr(db, "as_anonymous", own_connection)
        with ThreadPoolExecutor(20) as threads:
            got = list(threads.map(lambda _: allowed(NOON, narrow="kari", wide="kari"), range(20)))
        assert sum(got) == 3

    def test_the_app_may_neither_read_nor_give_back(self, database: Database) -> None:
        ratelimit.consume(NOON, narrow="kari")
        with psycopg.connect(database.app, autocommit=True) as app:
            for forbidden in ("select * from core.rate_limits", "delete from core.rate_limits"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute(forbidden.encode())


@pytest.mark.usefixtures("limits")
class TestIps:
    @pytest.mark.parametrize(("stage", "third"), [("local", True), ("staging", False), ("prod", False)])
    def test_their_limits_are_lifted_in_local_only(
        self, monkeypatch: pytest.MonkeyPatch, stage: str, third: bool
    ) -> None:
        monkeypatch.setenv("CHALLY_STAGE", stage)
        chally_settings.load.cache_clear()
        assert [allowed(NOON, place="192.0.2.7") for _ in range(3)] == [True, True, third]

    def test_those_of_accounts_hold_in_local_too(self) -> None:
        assert [allowed(NOON, narrow="kari 127.0.0.1", place="127.0.0.1") for _ in range(4)][-1] is False

    @pytest.mark.parametrize(
        ("ip", "expected"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            (None, "0.0.0.0"),
        ],
    )
    def test_of_ipv6_the_network_counts(self, ip: str | None, expected: str) -> None:
        assert network(ip) == expected


def test_every_limit_that_the_code_takes_is_a_row(database: Database) -> None:
    """A name without a row would limit nothing, in silence."""
    taken = {
        keyword.arg
        for path in (ROOT / "functions").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ratelimit.consume"
        for keyword in node.keywords
    }
    assert {"login_account_ip", "magic_link_address"} <= taken
    assert taken - {None} <= {name for (name,) in database.execute("select name from core.limits")}
