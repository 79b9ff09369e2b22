"""Rate limits on a real Postgres: exactly the quantity of a row in `core.limits`, and Retry-After to the second."""

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
    """The delay in Retry-After."""
    with pytest.raises(RateLimited) as refused:
        ratelimit.consume(now, **subjects)
    return timedelta(seconds=int(refused.value.headers["Retry-After"]))


@pytest.fixture
def limits(database: Database) -> None:
    """Limits for these tests, beside the real ones."""
    database.execute("""
        insert into core.limits (name, quantity, period, per, counts) values
            ('narrow', 3, '1 minute', 'account and ip', 'tests'),
            ('wide', 6, '1 minute', 'account', 'tests'),
            ('place', 2, '1 minute', 'ip', 'tests')
    """)


@pytest.mark.usefixtures("limits")
class TestOneLimit:
    def test_a_limit_allows_its_quantity_at_once(self) -> None:
        assert [allowed(NOON, narrow="kari") for _ in range(5)] == [True, True, True, False, False]

    def test_then_it_allows_one_attempt_per_share_of_the_period(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        later = [allowed(NOON + timedelta(seconds=second), narrow="kari") for second in range(1, 121)]
        assert [second for second, was in enumerate(later, 1) if was] == [20, 40, 60, 80, 100, 120]

    def test_it_is_full_again_after_a_period(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        after = NOON + timedelta(minutes=1)
        assert [allowed(after, narrow="kari") for _ in range(4)] == [True, True, True, False]

    def test_retry_after_is_when_the_next_attempt_is_allowed(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        now = NOON + timedelta(seconds=7)
        again = now + wait(now, narrow="kari")
        assert again == NOON + timedelta(seconds=20)
        assert not allowed(again - timedelta(microseconds=1), narrow="kari")
        assert allowed(again, narrow="kari")

    def test_retry_after_is_rounded_up_to_whole_seconds(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        now = NOON + timedelta(seconds=19, milliseconds=999)
        assert wait(now, narrow="kari") == timedelta(seconds=1)

    def test_a_refused_attempt_is_not_counted(self) -> None:
        for _ in range(50):
            allowed(NOON, narrow="kari")
        assert wait(NOON, narrow="kari") == timedelta(seconds=20)

    def test_subjects_have_separate_quantities(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        assert allowed(NOON, narrow="ola")

    def test_an_operator_may_change_a_limit(self, database: Database) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
        database.execute("update core.limits set quantity = 60 where name = 'narrow'")
        assert wait(NOON, narrow="kari") == timedelta(seconds=1)

    def test_subjects_are_stored_hashed(self, database: Database) -> None:
        ratelimit.consume(NOON, narrow="kari@people.test")
        ((subject,),) = database.execute("select subject from core.rate_limits")
        assert len(subject) == 32
        assert b"kari" not in subject

    def test_only_expired_rows_are_deleted(self, database: Database) -> None:
        ratelimit.consume(NOON, narrow="old")
        ratelimit.consume(NOON + timedelta(minutes=10), narrow="new")
        with db.as_system("tests") as tx:
            assert ratelimit.delete_expired(tx, NOON + timedelta(minutes=10)) == 1
        assert database.execute("select count(*) from core.rate_limits") == [(1,)]

    @settings(
        max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
    )
    @given(st.lists(st.integers(0, 40_000), max_size=20))
    def test_a_limit_equals_a_token_bucket(self, gaps: list[int]) -> None:
        """The textbook's: it holds `quantity` tokens and gains one every share of the period."""
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
    def test_every_limit_applies(self) -> None:
        """Three from each address, six from all of them together."""
        got = [allowed(NOON, narrow=f"kari {ip}", wide="kari") for ip in "abc" for _ in range(4)]
        assert got == [True, True, True, False, True, True, True, False, False, False, False, False]

    def test_retry_after_is_the_longest_wait(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="a", wide="kari")
        for _ in range(3):
            ratelimit.consume(NOON, narrow="b", wide="kari")
        assert wait(NOON, wide="kari") == timedelta(seconds=10)
        assert wait(NOON, narrow="a", wide="kari") == timedelta(seconds=20)

    def test_an_attempt_that_one_limit_refuses_consumes_none_of_the_others(self) -> None:
        """An attacker at one address must not use up the account's limit, so that its owner can sign in."""
        for _ in range(40):
            allowed(NOON, narrow="kari attacker", wide="kari")
        assert [allowed(NOON, narrow="kari owner", wide="kari") for _ in range(4)] == [True, True, True, False]


@pytest.mark.usefixtures("limits")
class TestTransactions:
    def test_an_attempt_counts_even_if_the_request_rolls_back(self) -> None:
        for _ in range(3):
            ratelimit.consume(NOON, narrow="kari")
            with pytest.raises(ZeroDivisionError), db.as_system("tests"):
                _ = 1 / 0
        assert not allowed(NOON, narrow="kari")

    @pytest.mark.parametrize("used_before", [True, False])
    def test_twenty_concurrent_attempts_get_exactly_the_quantity(
        self, database: Database, monkeypatch: pytest.MonkeyPatch, used_before: bool
    ) -> None:
        """Also if there is no row to lock yet."""
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

    def test_the_app_role_can_neither_read_nor_reset_limits(self, database: Database) -> None:
        ratelimit.consume(NOON, narrow="kari")
        with psycopg.connect(database.app, autocommit=True) as app:
            for forbidden in ("select * from core.rate_limits", "delete from core.rate_limits"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute(forbidden.encode())


@pytest.mark.usefixtures("limits")
class TestIps:
    @pytest.mark.parametrize(("stage", "third"), [("local", True), ("staging", False), ("prod", False)])
    def test_limits_by_ip_are_lifted_in_the_local_stage_only(
        self, monkeypatch: pytest.MonkeyPatch, stage: str, third: bool
    ) -> None:
        monkeypatch.setenv("CHALLY_STAGE", stage)
        chally_settings.load.cache_clear()
        assert [allowed(NOON, place="192.0.2.7") for _ in range(3)] == [True, True, third]

    def test_limits_by_account_apply_in_the_local_stage_too(self) -> None:
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
    def test_ipv6_addresses_count_by_network(self, ip: str | None, expected: str) -> None:
        assert network(ip) == expected


def test_every_limit_in_the_code_is_a_row(database: Database) -> None:
    """A name without a row would silently limit nothing."""
    calls = [
        node
        for path in (ROOT / "functions").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]
    consumed = {k.arg for call in calls if ast.unparse(call.func) == "ratelimit.consume" for k in call.keywords}
    consumed |= {ast.literal_eval(c.args[0]) for c in calls if ast.unparse(c.func) == "limits.per_account"}
    assert {"login_account_ip", "magic_link_address", "challenge_change"} <= consumed
    assert consumed - {None} <= {name for (name,) in database.execute("select name from core.limits")}
