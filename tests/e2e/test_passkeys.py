"""A real browser with a passkey against the deployed system, for what no Python client can show."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support import browser as chromium
from tests.support.browser import Browser
from tests.support.challenges import challenge_body
from tests.support.deployed import DeployedPerson, DeployedSystem

PROGRAM = chromium.find()
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: apt-get install chromium"),
]

CALL = """
async (method, path, body, headers = {}) => {
  const answer = await fetch(path, {
    method, credentials: "include", body: body === null ? undefined : JSON.stringify(body),
    headers: {...(body === null ? {} : {"content-type": "application/json"}), ...headers},
  });
  const text = await answer.text();
  return {status: answer.status, json: text ? JSON.parse(text) : null};
}
"""
CREATE = """
async (options) => (await navigator.credentials.create(
  {publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options)})).toJSON()
"""
GET = """
async (options) => (await navigator.credentials.get(
  {publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options)})).toJSON()
"""


class Page:
    """A page in the browser whose script calls the API and uses passkeys."""

    def __init__(self, browser: Browser, api_url: str) -> None:
        self.browser = browser
        self.api_url = api_url

    def open(self, url: str | None = None) -> None:
        """Open a page of the API, or any other."""
        self.browser.open(url or f"{self.api_url}/v1/auth/verify-email?token=x")

    def run(self, function: str, *arguments: object) -> Any:
        return self.browser.evaluate(f"({function})({', '.join(map(json.dumps, arguments))})")

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """Call the API by fetch with the browser's cookies; return the status and JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.run(CALL, method, f"{self.api_url}{path}", body, named)

    def csrf_token(self) -> str:
        """The value that a page's script sees."""
        cookies = dict(pair.split("=", 1) for pair in self.browser.evaluate("document.cookie").split("; ") if pair)
        return str(cookies["__Host-csrf"])


@pytest.fixture
def page(system: DeployedSystem) -> Iterator[Page]:
    assert PROGRAM is not None
    with Browser(PROGRAM) as browser:
        browser.virtual_authenticator()
        page = Page(browser, system.outputs["api_url"])
        page.open()
        yield page


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Another site on this machine: an empty page of a foreign origin."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


def sign_in(page: Page, person: DeployedPerson) -> None:
    login = {"login": person.username, "password": "long enough for us"}
    session = page.call("POST", "/v1/auth/login", login, x_session_transport="cookie")
    assert session["status"] == 200, session
    assert "access_token" not in session["json"]


def register(page: Page) -> dict[str, Any]:
    csrf = page.csrf_token()
    options = page.call("POST", "/v1/me/passkeys/options", x_csrf_token=csrf)
    assert options["status"] == 200, options
    body = {"name": "This browser", "attestation": page.run(CREATE, options["json"])}
    added = page.call("POST", "/v1/me/passkeys", body, x_csrf_token=csrf)
    assert added["status"] == 201, added
    return dict(added["json"])


def test_a_person_signs_in_by_passkey_and_cookies(page: Page, person: Callable[[str], DeployedPerson]) -> None:
    kari = person("Europe/Oslo")
    sign_in(page, kari)
    passkey = register(page)
    with pytest.raises(AssertionError, match="InvalidStateError"):  # the browser knows that it already has one
        register(page)
    csrf = page.csrf_token()
    assert page.call("POST", "/v1/auth/logout", x_csrf_token=csrf)["status"] == 204
    assert page.browser.cookies() == []
    assert page.call("GET", "/v1/me")["status"] == 401

    options = page.call("POST", "/v1/auth/passkey/options")["json"]
    assertion = {"assertion": page.run(GET, options)}
    session = page.call("POST", "/v1/auth/passkey", assertion, x_session_transport="cookie")
    assert session["status"] == 200, session
    assert session["json"]["user"]["username"] == kari.username
    assert page.call("GET", "/v1/me")["json"]["username"] == kari.username
    (mine,) = page.call("GET", "/v1/me/passkeys")["json"]["items"]
    assert mine["id"] == passkey["id"]
    assert mine["last_used_at"] is not None
    replayed = page.call("POST", "/v1/auth/passkey", assertion, x_session_transport="cookie")
    assert (replayed["status"], replayed["json"]["code"]) == (401, "passkey_invalid")

    challenge = challenge_body(datetime.now(UTC))
    for headers in (
        {},
        {"x_csrf_token": "made up"},
        {"x_csrf_token": csrf},
    ):  # the last belongs to the previous session
        refused = page.call("POST", "/v1/challenges", challenge, **headers)
        assert (refused["status"], refused["json"]["code"]) == (403, "csrf_failed")
    made = page.call("POST", "/v1/challenges", challenge, x_csrf_token=page.csrf_token())
    assert made["status"] == 201, made

    refreshed = page.call("POST", "/v1/auth/refresh", x_csrf_token=page.csrf_token())
    assert refreshed["status"] == 200, refreshed
    removed = page.call("DELETE", f"/v1/me/passkeys/{passkey['id']}", x_csrf_token=page.csrf_token())
    assert removed["status"] == 204, removed


def test_scripts_and_other_sites_cannot_read_the_tokens(
    page: Page, elsewhere: str, person: Callable[[str], DeployedPerson]
) -> None:
    sign_in(page, person("Europe/Oslo"))
    cookies = {cookie["name"]: cookie for cookie in page.browser.cookies()}
    assert cookies.keys() == {"__Host-access", "__Host-refresh", "__Host-csrf"}
    for name, cookie in cookies.items():
        assert (cookie["secure"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
        assert cookie["httpOnly"] == (name != "__Host-csrf")
    seen = page.browser.evaluate("document.cookie")
    assert seen.startswith("__Host-csrf=")
    assert cookies["__Host-access"]["value"] not in seen
    assert cookies["__Host-refresh"]["value"] not in seen

    page.open(elsewhere)  # the same host on another port: cookies are sent, but the page cannot read the response
    with pytest.raises(AssertionError, match="Failed to fetch"):
        page.call("GET", "/v1/me")
    with pytest.raises(AssertionError, match="Failed to fetch"):
        page.call(
            "POST", "/v1/challenges", challenge_body(datetime.now(UTC)), x_csrf_token=cookies["__Host-csrf"]["value"]
        )

    by_address = page.api_url.replace("localhost", "127.0.0.1")
    page.open(f"{by_address}/v1/auth/verify-email?token=x")  # the same server under another name: no cookies
    assert page.browser.evaluate("document.cookie") == ""
    assert page.run(CALL, "GET", f"{by_address}/v1/me", None)["status"] == 401


def test_another_site_cannot_use_the_passkey(
    page: Page, elsewhere: str, person: Callable[[str], DeployedPerson]
) -> None:
    sign_in(page, person("Europe/Oslo"))
    register(page)
    asked = [page.call("POST", "/v1/auth/passkey/options")["json"] for _ in range(3)]

    page.open(elsewhere)  # a relying party's id has no port, so we check the origin
    phished = page.run(GET, asked[0])
    page.open()
    refused = page.call("POST", "/v1/auth/passkey", {"assertion": phished})
    assert (refused["status"], refused["json"]["code"]) == (401, "passkey_invalid")
    assert "Wrong origin" in refused["json"]["detail"]

    page.open(elsewhere.replace("localhost", "127.0.0.1"))  # another site
    with pytest.raises(AssertionError, match="SecurityError"):
        page.run(GET, asked[1])

    page.open()
    assert page.call("POST", "/v1/auth/passkey", {"assertion": page.run(GET, asked[2])})["status"] == 200
