"""Lockout after wrong passwords: growing waits, the same for unknown logins, and always a way in for the owner."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chally import settings
from identity import passwords, rules
from tests.support.api import Client, Response
from tests.support.database import Database
from tests.support.people import SignUp

PASSWORD = "long enough for us"
ELSEWHERE = "198.51.100.23"  # nobody has signed in from here
Mails = Callable[[], list[dict[str, Any]]]
At = Callable[[datetime], None]


def login(name: str = "kari", password: str = "something else", ip: str = ELSEWHERE) -> Response:
    return Client(ip=ip).post("/v1/auth/login", {"login": name, "password": password})


def token_of(mails: Mails, template: str) -> str:
    return str(next(mail for mail in reversed(mails()) if mail["template"] == template)["values"]["token"])


def _cheapen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "matches", lambda stored, password, **_: password == PASSWORD)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every password wrong except the right one, without hashing: these tests try hundreds."""
    _cheapen(monkeypatch)


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    """The same, without the limits per minute, which apply first."""
    _cheapen(monkeypatch)
    database.execute("update core.limits set quantity = 100000 where name like 'login%%'")


@pytest.fixture
def prod(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def leave_local() -> None:
        monkeypatch.setenv("CHALLY_STAGE", "prod")
        settings.load.cache_clear()

    return leave_local


class Clock:
    """The functions' clock, moved by the test."""

    def __init__(self, at: At) -> None:
        self.now = datetime.now(UTC)
        self._at = at
        self.pass_by(timedelta(0))

    def pass_by(self, time: timedelta) -> None:
        self.now += time
        self._at(self.now)


@pytest.fixture
def time(at: At) -> Clock:
    return Clock(at)


def fail(time: Clock, count: int, name: str = "kari") -> None:
    """Tries this many wrong passwords, each as soon as one is allowed."""
    for _ in range(count):
        response = login(name)
        if response.status == 429:
            time.pass_by(timedelta(seconds=int(response.headers["retry-after"])))
            response = login(name)
        assert response.code == "invalid_credentials"


def wait(name: str = "kari", password: str = PASSWORD, ip: str = ELSEWHERE) -> timedelta:
    """The wait that the lockout demands; None if the response is another one."""
    response = login(name, password, ip)
    if response.status != 429:
        return timedelta(0)
    assert response.code == "login_locked"
    return timedelta(seconds=int(response.headers["retry-after"]))


class TestWait:
    def test_the_wait_doubles_up_to_a_quarter_of_an_hour(self) -> None:
        waits = [rules.wait_after(failures).total_seconds() for failures in range(18)]
        assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
        assert rules.wait_after(10**9) == rules.LOCKOUT

    @pytest.mark.usefixtures("unlimited")
    @pytest.mark.parametrize("name", ["kari", "nobody", "kari@people.test", "nobody@people.test"])
    def test_the_wait_follows_the_rule_with_and_without_an_account(
        self, person: SignUp, time: Clock, name: str
    ) -> None:
        person("kari")
        for failures in range(1, 18):
            time.pass_by(rules.wait_after(failures - 1))
            assert login(name).code == "invalid_credentials"
            if expected := rules.wait_after(failures):
                assert wait(name, "something else") == expected

    @pytest.mark.usefixtures("unlimited")
    def test_retry_after_tells_when_a_login_works_again(self, person: SignUp, time: Clock) -> None:
        person("kari")
        fail(time, 12)
        time.pass_by(timedelta(seconds=40))  # of 128
        assert wait() == timedelta(seconds=88)
        time.pass_by(timedelta(seconds=88) - timedelta(microseconds=1))
        assert wait() == timedelta(seconds=1)
        time.pass_by(timedelta(microseconds=1))
        assert login(password=PASSWORD).status == 200

    @pytest.mark.usefixtures("unlimited")
    def test_the_right_password_is_refused_during_the_wait_and_not_counted(
        self, person: SignUp, time: Clock, database: Database
    ) -> None:
        """Otherwise a wait would stop nobody from guessing."""
        person("kari")
        fail(time, 12)
        assert wait(password=PASSWORD) == timedelta(seconds=128)
        assert wait() == timedelta(seconds=128)
        assert database.execute("select failures from identity.login_failures") == [(12,)]

    @pytest.mark.usefixtures("unlimited")
    def test_the_response_during_a_wait_does_not_reveal_accounts(self, person: SignUp, time: Clock) -> None:
        person("kari")
        for name in ("kari", "nobody"):
            fail(time, 10, name)
        responses = [login(name) for name in ("kari", "nobody")]
        assert [(a.status, a.code, a.json["detail"]) for a in responses] == [
            (429, "login_locked", responses[0].json["detail"])
        ] * 2
        assert set(responses[0].headers) == set(responses[1].headers)

    @pytest.mark.usefixtures("unlimited")
    def test_failures_count_per_login_as_typed(self, person: SignUp, time: Clock) -> None:
        """In any case of letters. But an address does not wait for its username: that would reveal whose it is."""
        person("kari")
        fail(time, 6)
        fail(time, 6, "KARI")
        assert wait() > timedelta(seconds=60)
        assert wait("kari@people.test") == timedelta(0)

    @pytest.mark.usefixtures("unlimited")
    def test_the_right_password_resets_the_failures(self, person: SignUp, time: Clock, database: Database) -> None:
        person("kari")
        fail(time, 4)
        fail(time, 4, "kari@people.test")
        assert login(password=PASSWORD).status == 200
        assert database.execute("select count(*) from identity.login_failures") == [(0,)]

    @pytest.mark.usefixtures("unlimited")
    def test_failures_expire_after_a_day(self, person: SignUp, time: Clock) -> None:
        person("kari")
        fail(time, 14)
        time.pass_by(timedelta(days=1))
        fail(time, 1)
        assert wait() == timedelta(0)

    @pytest.mark.usefixtures("unlimited")
    def test_logins_are_not_stored(self, person: SignUp, time: Clock, database: Database) -> None:
        """People type their password into the wrong field."""
        login("oh-my-password")
        ((stored, audited),) = database.execute(
            "select f::text, (select string_agg(a::text, '') from core.audit a) from identity.login_failures f"
        )
        assert "oh-my-password" not in stored + audited
        assert b"oh-my-password".hex() not in stored

    @pytest.mark.usefixtures("unlimited")
    def test_failures_leave_the_same_traces_for_unknown_logins(
        self, person: SignUp, time: Clock, database: Database
    ) -> None:
        person("kari")

        def traces(name: str) -> tuple[int, ...]:
            tables = ("identity.login_failures", "identity.mail_links", "core.outbox", "core.audit")
            count = "select " + ", ".join(f"(select count(*) from {table})" for table in tables)
            (before,) = database.execute(count)
            fail(time, 15, name)
            (after,) = database.execute(count)
            return tuple(new - old for new, old in zip(after, before, strict=True))

        assert traces("kari") == traces("nobody") == traces("nobody@people.test") == (1, 1, 1, 15)


@pytest.mark.usefixtures("unlimited")
class TestOwner:
    """Nobody can lock an owner out for good."""

    def test_the_owner_gets_one_mail(self, person: SignUp, time: Clock, mails: Mails) -> None:
        kari = person("kari")
        fail(time, 14)
        assert [mail["template"] for mail in mails()].count("unlock") == 0
        fail(time, 1)
        assert mails()[-1]["template"] == "unlock"
        assert mails()[-1]["user_id"] == kari.user["id"]
        fail(time, 14)
        assert [mail["template"] for mail in mails()].count("unlock") == 1

    def test_the_mailed_link_ends_the_wait(
        self, nobody: Client, person: SignUp, time: Clock, mails: Mails, database: Database
    ) -> None:
        person("kari")
        fail(time, 15)
        assert wait() == timedelta(minutes=15)
        response = nobody.post("/v1/auth/unlock", {"token": token_of(mails, "unlock")})
        assert (response.status, response.text) == (204, "")
        assert database.execute("select action from core.audit order by id desc limit 1") == [("lockout_lifted",)]
        assert login(password=PASSWORD).status == 200

    def test_the_unlock_link_does_not_sign_in(self, nobody: Client, person: SignUp, time: Clock, mails: Mails) -> None:
        person("kari")
        fail(time, 15)
        response = nobody.post("/v1/auth/unlock", {"token": token_of(mails, "unlock")})
        assert response.cookies == ()
        assert login().code == "invalid_credentials"

    def test_a_magic_link_ends_the_wait(self, nobody: Client, person: SignUp, time: Clock, mails: Mails) -> None:
        person("kari")
        fail(time, 15)
        fail(time, 6, "kari@people.test")
        nobody.post("/v1/auth/magic-link", {"email": "kari@people.test"})
        assert nobody.post("/v1/auth/magic-link/verify", {"token": token_of(mails, "magic_link")}).status == 200
        assert login(password=PASSWORD).status == 200
        assert login("kari@people.test", password=PASSWORD).status == 200

    def test_a_password_reset_ends_the_wait(self, nobody: Client, person: SignUp, time: Clock, mails: Mails) -> None:
        person("kari")
        fail(time, 15)
        nobody.post("/v1/auth/password/forgot", {"email": "kari@people.test"})
        reset = {"token": token_of(mails, "password_reset"), "password": "four words in a row"}
        assert nobody.post("/v1/auth/password/reset", reset).status == 204
        assert wait() == timedelta(0)

    def test_requesting_a_link_does_not_end_the_wait(self, nobody: Client, person: SignUp, time: Clock) -> None:
        person("kari")
        fail(time, 15)
        nobody.post("/v1/auth/magic-link", {"email": "kari@people.test"})
        assert nobody.post("/v1/auth/magic-link/verify", {"token": "x"}).code == "token_invalid"
        assert wait() == timedelta(minutes=15)

    def test_the_owner_does_not_wait_on_a_recently_used_network(
        self, person: SignUp, time: Clock, prod: Callable[[], None], database: Database
    ) -> None:
        person("kari")
        prod()
        home = Client().ip
        fail(time, 15)
        assert wait(ip=ELSEWHERE) == timedelta(minutes=15)
        assert login(password=PASSWORD, ip=home).status == 200

        fail(time, 15)
        database.execute("update identity.sessions set created_at = %(since)s", since=time.now - timedelta(days=30))
        assert wait(ip=home) == timedelta(minutes=15)
        just = time.now - timedelta(days=30) + timedelta(microseconds=1)
        database.execute("update identity.sessions set created_at = %(since)s", since=just)
        assert login(password=PASSWORD, ip=home).status == 200

    def test_a_strangers_network_exempts_only_the_stranger(
        self, person: SignUp, time: Clock, prod: Callable[[], None]
    ) -> None:
        person("ola")
        home = Client().ip
        prod()
        fail(time, 15, "nobody")
        assert wait("nobody", ip=home) == timedelta(minutes=15)

    def test_the_local_stage_exempts_no_network(self, person: SignUp, time: Clock) -> None:
        """There every client is 127.0.0.1: nobody would ever wait."""
        person("kari")
        fail(time, 15)
        assert wait(ip=Client().ip) == timedelta(minutes=15)


@pytest.mark.usefixtures("cheap")
class TestLimits:
    """At one instant, before any wait: right passwords count, too."""

    def responses(self, count: int, name: Callable[[int], str], ip: Callable[[int], str]) -> list[int]:
        return [login(name(number), PASSWORD, ip(number)).status for number in range(count)]

    def test_an_account_takes_five_logins_a_minute_from_one_network(self, person: SignUp, time: Clock) -> None:
        person("kari")
        assert self.responses(6, lambda _: "kari", lambda _: ELSEWHERE) == [200] * 5 + [429]
        refused = login("KARI", PASSWORD)
        assert (refused.code, refused.headers["retry-after"]) == ("rate_limited", "12")
        assert login("kari", PASSWORD, "198.51.100.24").status == 200
        time.pass_by(timedelta(seconds=12))
        assert login("kari", PASSWORD).status == 200

    def test_an_account_takes_twenty_logins_a_minute(self, person: SignUp, time: Clock) -> None:
        person("kari")
        got = self.responses(21, lambda _: "kari", lambda number: f"198.51.100.{number}")
        assert got == [200] * 20 + [429]
        assert login("kari", PASSWORD, "203.0.113.1").headers["retry-after"] == "3"

    def test_guessing_from_anywhere_does_not_keep_the_owner_out_where_they_are_known(
        self, person: SignUp, time: Clock, prod: Callable[[], None]
    ) -> None:
        person("kari")
        home = Client().ip
        prod()
        for name in ("kari", "kari@people.test"):
            guesses = [login(name, ip=f"198.51.100.{number}").status for number in range(21)]
            assert guesses[-1] == 429
            assert login(name, PASSWORD, ip="203.0.113.1").code == "rate_limited"
            assert login(name, PASSWORD, ip=home).status == 200

    def test_a_known_network_has_its_own_limits(
        self, person: SignUp, time: Clock, prod: Callable[[], None], database: Database
    ) -> None:
        """It may be a school's, so guesses from there are slow. And it is known for one account only."""
        person("kari"), person("ola")
        home = Client().ip
        prod()
        for name in ("kari", "nobody"):
            assert [login(name, ip=f"198.51.100.{number}").status for number in range(21)][-1] == 429
        assert [login(ip=home).status for _ in range(6)] == [401] * 5 + [429]
        assert login("nobody", ip=home).code == "rate_limited"

    def test_an_attacker_on_one_network_does_not_exhaust_the_accounts_limit(self, person: SignUp, time: Clock) -> None:
        person("kari")
        assert self.responses(40, lambda _: "kari", lambda _: ELSEWHERE).count(200) == 5
        assert login("kari", PASSWORD, "203.0.113.1").status == 200

    def test_a_network_makes_sixty_logins_a_minute(self, person: SignUp, time: Clock, prod: Callable[[], None]) -> None:
        person("kari")
        prod()
        got = self.responses(61, lambda number: f"name{number}", lambda _: ELSEWHERE)
        assert got == [401] * 60 + [429]
        assert login("kari", PASSWORD).code == "rate_limited"
        assert login("kari", PASSWORD, "203.0.113.1").status == 200

    def test_an_ipv6_household_is_one_network(self, person: SignUp, time: Clock) -> None:
        person("kari")
        got = self.responses(6, lambda _: "kari", lambda number: f"2001:db8:1:2::{number:x}")
        assert got == [200] * 5 + [429]


def test_a_sign_in_that_races_with_a_change_of_password_fails(
    person: SignUp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has the old password; its owner sets another one, and ends every session at that moment."""
    person("kari")
    matches = passwords.matches

    def slow(stored: str, password: str, **more: Any) -> bool:
        found = matches(stored, password, **more)
        if found:
            database.execute("update identity.users set password_hash = %(hash)s", hash=passwords.DUMMY_HASH)
            database.execute("update identity.sessions set ended_at = now(), ended_reason = 'password_changed'")
        return found

    monkeypatch.setattr(passwords, "matches", slow)
    assert login(password=PASSWORD).code == "invalid_credentials"
    assert database.execute("select count(*) from identity.sessions where ended_at is null") == [(0,)]
