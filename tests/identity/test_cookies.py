"""Sessions in cookies, as a browser holds them: what is set, and what a call that changes something must bring."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest

from chally import clock
from tests.support.api import Client, Response
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

BROWSER = {"x-session-transport": "cookie"}
ACCESS, REFRESH, CSRF = "__Host-access", "__Host-refresh", "__Host-csrf"
LIVES = {ACCESS: 15 * 60, REFRESH: 30 * 24 * 3600, CSRF: 30 * 24 * 3600}
LOGIN = {"login": "kari", "password": "long enough for us"}


def attributes(answer: Response) -> dict[str, set[str]]:
    """Of each cookie that an answer sets, what stands beside its value, in lower case."""
    found = {}
    for line in answer.cookies:
        pair, *rest = line.split("; ")
        found[pair.partition("=")[0]] = {attribute.lower() for attribute in rest}
    return found


def expected(lives: dict[str, int]) -> dict[str, set[str]]:
    """Only the CSRF token may be read by scripts. No domain: `__Host-` pins them to this host."""
    common = {"path=/", "secure", "samesite=strict"}
    return {
        name: common | {f"max-age={life}"} | (set() if name == CSRF else {"httponly"}) for name, life in lives.items()
    }


def browser() -> Client:
    return Client(headers=dict(BROWSER))


def create(client: Client, csrf: str | None = None) -> Response:
    """A call of another context that changes something."""
    headers = {"x-csrf-token": csrf} if csrf is not None else {}
    return client.call("POST", "/v1/challenges", body=challenge_body(datetime.now(UTC)), headers=headers)


def tab_of(other: Client) -> Client:
    """Another tab of the same browser, with the cookies as they are now."""
    return replace(other, cookies=dict(other.cookies))


@pytest.fixture
def kari(person: SignUp) -> Client:
    """A browser that is signed in."""
    person("kari")
    client = browser()
    assert client.post("/v1/auth/login", LOGIN).status == 200
    assert set(client.cookies) == set(LIVES)
    return client


class TestSignIn:
    def check(self, answer: Response, client: Client) -> None:
        assert answer.status == 200
        assert attributes(answer) == expected(LIVES)
        assert set(answer.json) == {"csrf_token", "token_type", "expires_in", "user"}
        assert answer.json["csrf_token"] == client.cookies[CSRF]
        for name in (ACCESS, REFRESH):
            assert client.cookies[name] not in answer.text
        assert client.get("/v1/me").json == answer.json["user"]

    def test_by_password(self, person: SignUp) -> None:
        person("kari")
        client = browser()
        self.check(client.post("/v1/auth/login", LOGIN), client)

    def test_by_the_link_that_confirms_an_address(
        self, nobody: Client, mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        body = {"email": "kari@people.test", "username": "kari", "password": "long enough for us", "timezone": "UTC"}
        assert not nobody.post("/v1/auth/register", body).cookies
        client = browser()
        self.check(client.post("/v1/auth/verify-email", {"token": mails()[-1]["values"]["token"]}), client)

    def test_by_a_refresh(self, kari: Client) -> None:
        before = dict(kari.cookies)
        answer = kari.post("/v1/auth/refresh", X_CSRF_Token=kari.cookies[CSRF])
        self.check(answer, kari)
        assert {name for name in before if before[name] != kari.cookies[name]} == {ACCESS, REFRESH}

    def test_sets_no_cookies_for_anybody_else(self, person: SignUp, nobody: Client) -> None:
        person("kari")
        answer = nobody.post("/v1/auth/login", LOGIN)
        assert not answer.cookies
        assert "csrf_token" not in answer.json
        assert nobody.post("/v1/auth/login", {**LOGIN, "password": "something else"}, **BROWSER).cookies == ()

    def test_there_are_two_transports(self, nobody: Client) -> None:
        answer = nobody.call("POST", "/v1/auth/login", body=LOGIN, headers={"x-session-transport": "pigeon"})
        assert answer.status == 422


class TestCsrf:
    def test_a_call_that_changes_something_brings_it(self, kari: Client, database: Database) -> None:
        assert create(kari).code == "csrf_failed"
        assert create(kari, csrf="").code == "csrf_failed"
        assert create(kari, csrf="x" * 43).code == "csrf_failed"
        assert create(kari, csrf=kari.cookies[CSRF] + "x").code == "csrf_failed"
        assert database.execute("select count(*) from challenges.challenges") == [(0,)]
        assert create(kari, csrf=kari.cookies[CSRF]).status == 201

    def test_it_is_bound_to_the_session(self, kari: Client, person: SignUp) -> None:
        """Whoever plants a cookie and the header that goes with it has those of another session."""
        person("mallory")
        mallory, twin = browser(), browser()
        mallory.post("/v1/auth/login", {**LOGIN, "login": "mallory"})
        twin.post("/v1/auth/login", LOGIN)  # the same person's
        for other in (mallory, twin):
            planted = replace(kari, cookies=kari.cookies | {CSRF: other.cookies[CSRF]})
            assert create(planted, csrf=other.cookies[CSRF]).code == "csrf_failed"
            assert create(planted, csrf=kari.cookies[CSRF]).code == "csrf_failed"
            for path in ("refresh", "logout", "logout-all"):
                answer = planted.post(f"/v1/auth/{path}", X_CSRF_Token=other.cookies[CSRF])
                assert answer.code == "csrf_failed", path
        without = replace(kari, cookies={name: kari.cookies[name] for name in (ACCESS, REFRESH)})
        assert create(without, csrf=kari.cookies[CSRF]).code == "csrf_failed"
        assert create(without, csrf="").code == "csrf_failed"
        assert create(kari, csrf=kari.cookies[CSRF]).status == 201

    def test_reading_needs_none(self, kari: Client) -> None:
        created = create(kari, csrf=kari.cookies[CSRF]).json["id"]
        for path in ("/v1/me", f"/v1/challenges/{created}"):
            assert kari.get(path).status == 200

    @pytest.mark.parametrize("path", ["refresh", "logout", "logout-all"])
    def test_what_the_refresh_cookie_authenticates_needs_it_too(self, kari: Client, path: str) -> None:
        before = dict(kari.cookies)
        assert kari.post(f"/v1/auth/{path}").code == "csrf_failed"
        assert kari.post(f"/v1/auth/{path}", X_CSRF_Token="x" * 43).code == "csrf_failed"
        assert kari.cookies == before
        assert kari.get("/v1/me").status == 200
        assert kari.post("/v1/auth/refresh", X_CSRF_Token=kari.cookies[CSRF]).status == 200

    def test_a_bearer_needs_none(self, person: SignUp) -> None:
        assert create(person("kari")).status == 201

    def test_it_lasts_as_long_as_the_session(self, kari: Client) -> None:
        """A form that was opened before a refresh is still good after it."""
        opened = kari.cookies[CSRF]
        assert kari.post("/v1/auth/refresh", X_CSRF_Token=opened).status == 200
        assert create(kari, csrf=opened).status == 201


class TestNeverBoth:
    def test_a_bearer_token_and_cookies(self, kari: Client, nobody: Client) -> None:
        session = nobody.post("/v1/auth/login", LOGIN).json
        both = replace(kari, token=session["access_token"])
        csrf = both.cookies[CSRF]
        assert both.get("/v1/me").code == "two_credentials"
        assert create(both, csrf=csrf).code == "two_credentials"
        for path in ("refresh", "logout", "logout-all"):
            assert both.post(f"/v1/auth/{path}", X_CSRF_Token=csrf).code == "two_credentials", path
            body = {"refresh_token": session["refresh_token"]}
            assert kari.post(f"/v1/auth/{path}", body, X_CSRF_Token=csrf).code == "two_credentials", path
        assert kari.get("/v1/me").status == 200
        assert nobody.post("/v1/auth/refresh", {"refresh_token": session["refresh_token"]}).status == 200

    def test_a_token_out_of_a_cookie_is_no_bearer_token(self, kari: Client) -> None:
        """Nor the other way: a thief of one kind is not let off what the other kind must bring."""
        assert Client(kari.cookies[ACCESS]).get("/v1/me").code == "unauthenticated"
        assert create(Client(kari.cookies[ACCESS])).code == "unauthenticated"

    def test_a_bearer_token_is_none_for_a_cookie(self, kari: Client, nobody: Client) -> None:
        token = nobody.post("/v1/auth/login", LOGIN).json["access_token"]
        planted = replace(kari, cookies=kari.cookies | {ACCESS: token})
        assert planted.get("/v1/me").code == "csrf_failed"
        assert create(planted, csrf=kari.cookies[CSRF]).code == "csrf_failed"

    @pytest.mark.parametrize("value", ["", "x", "a.b.c", "..", '"quoted"', "%00"])
    def test_garbage_in_the_cookie(self, kari: Client, value: str) -> None:
        planted = replace(kari, cookies=kari.cookies | {ACCESS: value, REFRESH: value})
        assert planted.get("/v1/me").code == "unauthenticated"
        assert planted.post("/v1/auth/refresh", X_CSRF_Token=kari.cookies[CSRF]).code == "refresh_invalid"


class TestSignOut:
    @pytest.mark.parametrize("path", ["logout", "logout-all"])
    def test_takes_the_cookies_back(self, kari: Client, path: str) -> None:
        tab = tab_of(kari)
        answer = kari.post(f"/v1/auth/{path}", X_CSRF_Token=kari.cookies[CSRF])
        assert answer.status == 204
        assert {name: value - {"expires"} for name, value in dated(answer).items()} == expected(dict.fromkeys(LIVES, 0))
        assert all(morsel.value == "" for line in answer.cookies for morsel in SimpleCookie(line).values())
        assert kari.cookies == {}
        assert kari.get("/v1/me").code == "unauthenticated"
        # what another tab has kept is worth nothing
        assert tab.get("/v1/me").code == "session_ended"
        assert create(tab, csrf=tab.cookies[CSRF]).code == "session_ended"
        assert tab.post("/v1/auth/refresh", X_CSRF_Token=tab.cookies[CSRF]).code == "session_ended"

    def test_of_one_browser_leaves_the_others(self, kari: Client) -> None:
        phone = browser()
        phone.post("/v1/auth/login", LOGIN)
        kari.post("/v1/auth/logout", X_CSRF_Token=kari.cookies[CSRF])
        assert phone.get("/v1/me").status == 200
        laptop = browser()
        laptop.post("/v1/auth/login", LOGIN)
        laptop.post("/v1/auth/logout-all", X_CSRF_Token=laptop.cookies[CSRF])
        assert phone.get("/v1/me").code == "session_ended"


def dated(answer: Response) -> dict[str, set[str]]:
    """The attributes, with the date of an expiry left out: when it was does not matter."""
    return {
        name: {"expires" if attribute.startswith("expires=") else attribute for attribute in found}
        for name, found in attributes(answer).items()
    }


class TestTabs:
    def test_that_refresh_at_once_hold_the_same(self, kari: Client) -> None:
        tabs = [tab_of(kari) for _ in range(4)]
        answers = [tab.post("/v1/auth/refresh", X_CSRF_Token=tab.cookies[CSRF]) for tab in tabs]
        assert [answer.status for answer in answers] == [200] * 4
        assert len({tab.cookies[REFRESH] for tab in tabs}) == 1
        for tab in tabs:
            assert tab.get("/v1/me").status == 200
            assert create(tab, csrf=kari.cookies[CSRF]).status == 201

    def test_a_copied_cookie_ends_the_session(self, kari: Client, at: Callable[[datetime], None]) -> None:
        thief = tab_of(kari)
        assert kari.post("/v1/auth/refresh", X_CSRF_Token=kari.cookies[CSRF]).status == 200
        at(clock.now() + timedelta(seconds=11))
        assert thief.post("/v1/auth/refresh", X_CSRF_Token=thief.cookies[CSRF]).code == "refresh_reused"
        assert kari.get("/v1/me").code == "session_ended"
        assert thief.get("/v1/me").code == "session_ended"

    def test_an_answer_without_asking_for_cookies_again(self, kari: Client) -> None:
        """A page that forgot the header does not get the tokens into its script's hands."""
        plain = replace(kari, headers={})
        answer = plain.post("/v1/auth/refresh", X_CSRF_Token=kari.cookies[CSRF])
        assert attributes(answer) == expected(LIVES)
        assert not {"access_token", "refresh_token"} & set(answer.json)
