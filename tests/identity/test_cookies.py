"""Sessions in cookies, as browsers hold them: which cookies are set, and what a changing call must send."""

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


def attributes(response: Response) -> dict[str, set[str]]:
    """The attributes of each cookie that a response sets, in lower case."""
    found = {}
    for line in response.cookies:
        pair, *rest = line.split("; ")
        found[pair.partition("=")[0]] = {attribute.lower() for attribute in rest}
    return found


def expected(lives: dict[str, int]) -> dict[str, set[str]]:
    """Only the CSRF token is readable by scripts. Without a domain, `__Host-` binds them to this host."""
    common = {"path=/", "secure", "samesite=strict"}
    return {
        name: common | {f"max-age={life}"} | (set() if name == CSRF else {"httponly"}) for name, life in lives.items()
    }


def browser() -> Client:
    return Client(headers=dict(BROWSER))


def create(client: Client, csrf: str | None = None) -> Response:
    """A changing call of another context."""
    headers = {"x-csrf-token": csrf} if csrf is not None else {}
    return client.call("POST", "/v1/challenges", body=challenge_body(datetime.now(UTC)), headers=headers)


def tab_of(other: Client) -> Client:
    """Another tab of the same browser, with its current cookies."""
    return replace(other, cookies=dict(other.cookies))


@pytest.fixture
def kari(person: SignUp) -> Client:
    """A signed-in browser."""
    person("kari")
    client = browser()
    assert client.post("/v1/auth/login", LOGIN).status == 200
    assert set(client.cookies) == set(LIVES)
    return client


class TestSignIn:
    def check(self, response: Response, client: Client) -> None:
        assert response.status == 200
        assert attributes(response) == expected(LIVES)
        assert set(response.json) == {"csrf_token", "token_type", "expires_in", "user"}
        assert response.json["csrf_token"] == client.cookies[CSRF]
        for name in (ACCESS, REFRESH):
            assert client.cookies[name] not in response.text
        assert client.get("/v1/me").json == response.json["user"]

    def test_signing_in_by_password_sets_cookies(self, person: SignUp) -> None:
        person("kari")
        client = browser()
        self.check(client.post("/v1/auth/login", LOGIN), client)

    def test_confirming_an_address_sets_cookies(
        self, nobody: Client, mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        body = {"email": "kari@people.test", "username": "kari", "password": "long enough for us", "timezone": "UTC"}
        assert not nobody.post("/v1/auth/register", body).cookies
        client = browser()
        self.check(client.post("/v1/auth/verify-email", {"token": mails()[-1]["values"]["token"]}), client)

    def test_refreshing_sets_cookies(self, kari: Client) -> None:
        before = dict(kari.cookies)
        response = kari.post("/v1/auth/refresh", X_CSRF_Token=kari.cookies[CSRF])
        self.check(response, kari)
        assert {name for name in before if before[name] != kari.cookies[name]} == {ACCESS, REFRESH}

    def test_bearer_clients_get_no_cookies(self, person: SignUp, nobody: Client) -> None:
        person("kari")
        response = nobody.post("/v1/auth/login", LOGIN)
        assert not response.cookies
        assert "csrf_token" not in response.json
        assert nobody.post("/v1/auth/login", {**LOGIN, "password": "something else"}, **BROWSER).cookies == ()

    def test_an_unknown_transport_is_refused(self, nobody: Client) -> None:
        response = nobody.call("POST", "/v1/auth/login", body=LOGIN, headers={"x-session-transport": "pigeon"})
        assert response.status == 422


class TestCsrf:
    def test_a_changing_call_must_send_the_csrf_token(self, kari: Client, database: Database) -> None:
        assert create(kari).code == "csrf_failed"
        assert create(kari, csrf="").code == "csrf_failed"
        assert create(kari, csrf="x" * 43).code == "csrf_failed"
        assert create(kari, csrf=kari.cookies[CSRF] + "x").code == "csrf_failed"
        assert database.execute("select count(*) from challenges.challenges") == [(0,)]
        assert create(kari, csrf=kari.cookies[CSRF]).status == 201

    def test_the_csrf_token_is_bound_to_the_session(self, kari: Client, person: SignUp) -> None:
        """An attacker who plants a cookie and its header has those of another session."""
        person("mallory")
        mallory, twin = browser(), browser()
        mallory.post("/v1/auth/login", {**LOGIN, "login": "mallory"})
        twin.post("/v1/auth/login", LOGIN)  # the same user
        for other in (mallory, twin):
            planted = replace(kari, cookies=kari.cookies | {CSRF: other.cookies[CSRF]})
            assert create(planted, csrf=other.cookies[CSRF]).code == "csrf_failed"
            assert create(planted, csrf=kari.cookies[CSRF]).code == "csrf_failed"
            for path in ("refresh", "logout", "logout-all"):
                response = planted.post(f"/v1/auth/{path}", X_CSRF_Token=other.cookies[CSRF])
                assert response.code == "csrf_failed", path
        without = replace(kari, cookies={name: kari.cookies[name] for name in (ACCESS, REFRESH)})
        assert create(without, csrf=kari.cookies[CSRF]).code == "csrf_failed"
        assert create(without, csrf="").code == "csrf_failed"
        assert create(kari, csrf=kari.cookies[CSRF]).status == 201

    def test_reading_needs_no_csrf_token(self, kari: Client) -> None:
        created = create(kari, csrf=kari.cookies[CSRF]).json["id"]
        for path in ("/v1/me", f"/v1/challenges/{created}"):
            assert kari.get(path).status == 200

    @pytest.mark.parametrize("path", ["refresh", "logout", "logout-all"])
    def test_calls_authenticated_by_the_refresh_cookie_need_the_csrf_token_too(self, kari: Client, path: str) -> None:
        before = dict(kari.cookies)
        assert kari.post(f"/v1/auth/{path}").code == "csrf_failed"
        assert kari.post(f"/v1/auth/{path}", X_CSRF_Token="x" * 43).code == "csrf_failed"
        assert kari.cookies == before
        assert kari.get("/v1/me").status == 200
        assert kari.post("/v1/auth/refresh", X_CSRF_Token=kari.cookies[CSRF]).status == 200

    def test_bearer_calls_need_no_csrf_token(self, person: SignUp) -> None:
        assert create(person("kari")).status == 201

    def test_the_csrf_token_lasts_as_long_as_the_session(self, kari: Client) -> None:
        """A form that was opened before a refresh can still be sent after it."""
        opened = kari.cookies[CSRF]
        assert kari.post("/v1/auth/refresh", X_CSRF_Token=opened).status == 200
        assert create(kari, csrf=opened).status == 201


class TestNeverBoth:
    def test_a_bearer_token_and_cookies_together_are_refused(self, kari: Client, nobody: Client) -> None:
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

    def test_the_token_from_a_cookie_is_no_bearer_token(self, kari: Client) -> None:
        """Nor the other way: a thief of one kind must not avoid what the other kind requires."""
        assert Client(kari.cookies[ACCESS]).get("/v1/me").code == "unauthenticated"
        assert create(Client(kari.cookies[ACCESS])).code == "unauthenticated"

    def test_a_bearer_token_is_not_accepted_in_a_cookie(self, kari: Client, nobody: Client) -> None:
        token = nobody.post("/v1/auth/login", LOGIN).json["access_token"]
        planted = replace(kari, cookies=kari.cookies | {ACCESS: token})
        assert planted.get("/v1/me").code == "csrf_failed"
        assert create(planted, csrf=kari.cookies[CSRF]).code == "csrf_failed"

    @pytest.mark.parametrize("value", ["", "x", "a.b.c", "..", '"quoted"', "%00"])
    def test_an_invalid_cookie_is_refused(self, kari: Client, value: str) -> None:
        planted = replace(kari, cookies=kari.cookies | {ACCESS: value, REFRESH: value})
        assert planted.get("/v1/me").code == "unauthenticated"
        assert planted.post("/v1/auth/refresh", X_CSRF_Token=kari.cookies[CSRF]).code == "refresh_invalid"


class TestSignOut:
    @pytest.mark.parametrize("path", ["logout", "logout-all"])
    def test_signing_out_deletes_the_cookies(self, kari: Client, path: str) -> None:
        tab = tab_of(kari)
        response = kari.post(f"/v1/auth/{path}", X_CSRF_Token=kari.cookies[CSRF])
        assert response.status == 204
        assert {name: value - {"expires"} for name, value in dated(response).items()} == expected(
            dict.fromkeys(LIVES, 0)
        )
        assert all(morsel.value == "" for line in response.cookies for morsel in SimpleCookie(line).values())
        assert kari.cookies == {}
        assert kari.get("/v1/me").code == "unauthenticated"
        # cookies that another tab kept no longer work
        assert tab.get("/v1/me").code == "session_ended"
        assert create(tab, csrf=tab.cookies[CSRF]).code == "session_ended"
        assert tab.post("/v1/auth/refresh", X_CSRF_Token=tab.cookies[CSRF]).code == "session_ended"

    def test_signing_out_of_one_browser_leaves_the_others_signed_in(self, kari: Client) -> None:
        phone = browser()
        phone.post("/v1/auth/login", LOGIN)
        kari.post("/v1/auth/logout", X_CSRF_Token=kari.cookies[CSRF])
        assert phone.get("/v1/me").status == 200
        laptop = browser()
        laptop.post("/v1/auth/login", LOGIN)
        laptop.post("/v1/auth/logout-all", X_CSRF_Token=laptop.cookies[CSRF])
        assert phone.get("/v1/me").code == "session_ended"


def dated(response: Response) -> dict[str, set[str]]:
    """The attributes without the time of expiry."""
    return {
        name: {"expires" if attribute.startswith("expires=") else attribute for attribute in found}
        for name, found in attributes(response).items()
    }


class TestTabs:
    def test_parallel_refreshes_of_tabs_get_the_same_cookies(self, kari: Client) -> None:
        tabs = [tab_of(kari) for _ in range(4)]
        responses = [tab.post("/v1/auth/refresh", X_CSRF_Token=tab.cookies[CSRF]) for tab in tabs]
        assert [response.status for response in responses] == [200] * 4
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

    def test_a_refresh_by_cookie_returns_cookies_without_the_header(self, kari: Client) -> None:
        """A page that forgot the header does not get the tokens into the hands of its scripts."""
        plain = replace(kari, headers={})
        response = plain.post("/v1/auth/refresh", X_CSRF_Token=kari.cookies[CSRF])
        assert attributes(response) == expected(LIVES)
        assert not {"access_token", "refresh_token"} & set(response.json)
