"""The pages behind the links in mails: their HTML, and what they do in a real browser."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyotp
import pytest

from chally import clock
from tests.support import browser
from tests.support.api import Client, Response
from tests.support.browser import Browser
from tests.support.database import Database
from tests.support.people import SignUp

PASSWORD = "long enough for us"
PATHS = (
    "/v1/auth/verify-email",
    "/v1/auth/magic-link/verify",
    "/v1/auth/password/forgot",
    "/v1/auth/password/reset",
    "/v1/auth/email/confirm",
    "/v1/auth/unlock",
)
EACH = pytest.mark.parametrize("path", PATHS)
Mails = Callable[[], list[dict[str, Any]]]


def token_of(mails: Mails, template: str) -> str:
    return str(next(mail for mail in reversed(mails()) if mail["template"] == template)["values"]["token"])


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]


class TestEveryPage:
    @EACH
    def test_a_page_runs_and_loads_nothing_but_its_own_code(self, nobody: Client, path: str) -> None:
        page = nobody.get(path, token="abc")
        assert page.status == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["referrer-policy"] == "no-referrer"  # the URL contains a token
        assert page.headers["cache-control"] == "no-store"
        policy = page.headers["content-security-policy"]
        nonce = re.search(r"script-src 'nonce-([\w-]{22})';", policy)
        assert nonce
        assert policy == (
            f"default-src 'none'; script-src 'nonce-{nonce[1]}'; style-src 'nonce-{nonce[1]}'; connect-src 'self';"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        elements = Elements(page.text)
        assert [part.get("nonce") for part in elements.all("script", "style")] == [nonce[1], nonce[1]]
        attributes = {name for _, attributes in elements.found for name in attributes}
        assert not {name for name in attributes if name.startswith("on")} | {"style", "src", "href"} & attributes
        assert "http" not in page.text
        assert nonce[1] not in nobody.get(path).text

    @EACH
    @pytest.mark.parametrize("token", ["a-secret-token", '"><script>alert(1)</script>', "{0.__class__}", "$nonce"])
    def test_a_page_never_contains_the_token(self, nobody: Client, path: str, token: str) -> None:
        def without_nonce(response: Response) -> str:
            return re.sub(r'nonce="[\w-]+"', "", response.text)

        with_token = nobody.get(path, token=token)
        assert with_token.status == 200
        assert without_nonce(with_token) == without_nonce(nobody.get(path))

    @EACH
    def test_a_page_is_accessible_and_fits_a_phone(self, nobody: Client, path: str) -> None:
        elements = Elements(nobody.get(path).text)
        assert elements.all("html") == [{"lang": "en"}]
        assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in elements.all("meta")
        assert len(elements.all("title")) == len(elements.all("h1")) == len(elements.all("main")) == 1
        assert [text["role"] for text in elements.all("p") if text.get("id") == "text"] == ["status"]
        assert len(elements.all("button")) == 1
        labelled = {label["for"] for label in elements.all("label")}
        fields = elements.all("input")
        assert {field["id"] for field in fields} == labelled
        assert all(field["autocomplete"] for field in fields)
        assert elements.all("noscript")

    def test_each_page_asks_for_the_fields_of_its_call(self, nobody: Client) -> None:
        fields = {path: [field["name"] for field in Elements(nobody.get(path).text).all("input")] for path in PATHS}
        assert fields == {
            "/v1/auth/verify-email": ["code"],
            "/v1/auth/magic-link/verify": ["code"],
            "/v1/auth/password/forgot": ["email"],
            "/v1/auth/password/reset": ["password"],
            "/v1/auth/email/confirm": [],
            "/v1/auth/unlock": [],
        }


@contextmanager
def served() -> Iterator[str]:
    """Serves the handlers on localhost, which browsers trust like TLS. Returns the base URL."""

    one_at_a_time, loop = threading.Lock(), asyncio.new_event_loop()

    class Bridge(BaseHTTPRequestHandler):
        timeout = 10  # a browser opens connections that it may never use

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            jar = (part.partition("=") for part in self.headers.get("cookie", "").split("; ") if part)
            client = Client(cookies={name: value for name, _, value in jar})
            headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != "cookie"}
            asked = dict(part.split("=", 1) for part in query.split("&") if part)
            with one_at_a_time:  # like a Lambda environment
                asyncio.set_event_loop(loop)  # Mangum's, in this thread
                response = client.call(self.command, path, raw=body or None, query=dict(asked), headers=headers)
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            for line in response.cookies:
                self.send_header("set-cookie", line)
            self.end_headers()
            self.wfile.write(response.text.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Bridge) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()
    loop.close()


PRESS = """
new Promise((done) => {
  const text = document.getElementById("text"), button = document.querySelector("button");
  const before = text.textContent;
  new MutationObserver(() => done(text.textContent)).observe(text, { childList: true, characterData: true });
  %s;
  button.click();
})
"""


class Page:
    """A page in a browser, as its user sees and uses it."""

    def __init__(self, chromium: Browser, base: str) -> None:
        self.chromium = chromium
        self._base = base

    def open(self, path: str, **query: str) -> None:
        self.chromium.open(self._base + path + "".join(f"?{name}={value}" for name, value in query.items()))

    def press(self, **values: str) -> str:
        """Fills in the fields, presses the button and returns the text that the page shows then."""
        fill = ";".join(
            f'document.querySelector("input[name={name}]").value = {value!r}' for name, value in values.items()
        )
        return str(self.chromium.evaluate(PRESS % fill))

    @property
    def text(self) -> str:
        return str(self.chromium.evaluate("document.getElementById('text').textContent"))

    @property
    def has_button(self) -> bool:
        return bool(self.chromium.evaluate("document.querySelector('button').checkVisibility()"))

    @property
    def focused(self) -> str:
        return str(self.chromium.evaluate("document.activeElement.id"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = browser.find()
    if program is None:
        pytest.skip("no Chromium here: .ci/run installs it, or apt-get install chromium")
    with Browser(program) as found:
        yield found


@pytest.fixture
def page(chromium: Browser, nobody: Client) -> Iterator[Page]:
    with served() as base:
        chromium.call("Storage.clearCookies")
        yield Page(chromium, base)


class TestInABrowser:
    def test_a_magic_link_signs_in(self, page: Page, nobody: Client, person: SignUp, mails: Mails) -> None:
        person("kari")
        nobody.post("/v1/auth/magic-link", {"email": "kari@people.test"})
        token = token_of(mails, "magic_link")
        page.open("/v1/auth/magic-link/verify", token=token)
        assert page.text == "Press the button to sign in to Chally on this device."
        assert page.chromium.cookies() == []
        assert page.press() == "You are signed in as kari."
        assert not page.has_button
        assert page.focused == "text"
        cookies = {cookie["name"]: cookie for cookie in page.chromium.cookies()}
        assert cookies.keys() == {"__Host-access", "__Host-refresh", "__Host-csrf"}
        assert cookies["__Host-refresh"]["httpOnly"]
        jar = {name: str(cookie["value"]) for name, cookie in cookies.items()}
        assert Client(cookies=jar).get("/v1/me").json["username"] == "kari"

        page.open("/v1/auth/magic-link/verify", token=token)
        assert page.press() == (
            "This link is invalid: it was used before, was replaced by a newer one, or has expired. Request a new one."
        )
        assert not page.has_button

    @pytest.mark.parametrize("by", ["code", "backup code"])
    def test_a_magic_link_asks_for_the_second_factor(
        self, page: Page, nobody: Client, person: SignUp, mails: Mails, by: str
    ) -> None:
        kari = person("kari")
        app = pyotp.TOTP(kari.post("/v1/me/totp").json["secret"])
        confirmed = kari.post("/v1/me/totp/confirm", {"code": app.at(clock.now())})
        later = app.at(clock.now() + timedelta(seconds=30))
        right = f" {later[:3]} {later[3:]} " if by == "code" else confirmed.json["backup_codes"][0]
        nobody.post("/v1/auth/magic-link", {"email": "kari@people.test"})
        page.open("/v1/auth/magic-link/verify", token=token_of(mails, "magic_link"))
        assert "code" in page.press()
        assert page.has_button
        assert page.focused == "code-input"
        assert page.chromium.cookies() == []
        assert "wrong" in page.press(code="no such code").lower()
        assert page.press(code=right) == "You are signed in as kari."
        assert not page.has_button
        assert len(page.chromium.cookies()) == 3

    def test_a_password_is_forgotten_and_reset(self, page: Page, nobody: Client, person: SignUp, mails: Mails) -> None:
        person("kari")
        page.open("/v1/auth/password/forgot")
        assert page.press(email="kari@people.test").startswith("If an account has this address")
        assert not page.has_button
        page.open("/v1/auth/password/reset", token=token_of(mails, "password_reset"))
        assert page.press(password="kari is my name") == (
            "This password is too weak. The password may not contain your username or your address."
        )
        assert page.has_button
        assert page.press(password="four words in a row").startswith("Your new password is set")
        assert not page.has_button
        login = {"login": "kari", "password": "four words in a row"}
        assert nobody.post("/v1/auth/login", login).status == 200

    def test_addresses_are_confirmed(self, page: Page, nobody: Client, mails: Mails, database: Database) -> None:
        body = {"email": "kari@people.test", "username": "kari", "password": PASSWORD, "timezone": "UTC"}
        nobody.post("/v1/auth/register", body)
        page.open("/v1/auth/verify-email", token=token_of(mails, "verify_email"))
        assert page.press() == "Your address is confirmed, and you are signed in as kari."
        kari = Client(nobody.post("/v1/auth/login", {"login": "kari", "password": PASSWORD}).json["access_token"])
        kari.post("/v1/me/email", {"current_password": PASSWORD, "new": "new@people.test"})
        page.open("/v1/auth/email/confirm", token=token_of(mails, "email_change"))
        assert page.press() == "Your account now uses this address."
        assert database.execute("select email from identity.users") == [("new@people.test",)]

    def test_who_has_no_password_yet_is_told(self, page: Page, nobody: Client, mails: Mails) -> None:
        body = {"email": "kari@people.test", "username": "kari", "password": PASSWORD, "timezone": "UTC"}
        nobody.post("/v1/auth/register", body)
        nobody.post("/v1/auth/register", body | {"password": "another password"})
        page.open("/v1/auth/verify-email", token=token_of(mails, "verify_email"))
        assert page.press().startswith("You are signed in, but no password is set")
        assert not page.has_button

    def test_an_invalid_unlock_link_is_refused(self, page: Page) -> None:
        page.open("/v1/auth/unlock", token="x")
        assert page.press().startswith("This link is invalid")
        assert not page.has_button

    def test_an_incomplete_link_is_reported(self, page: Page) -> None:
        page.open("/v1/auth/unlock")
        assert page.text == "This link is incomplete. Open it from the mail again."
        assert not page.has_button

    def test_nothing_is_cut_off_on_a_phone(self, page: Page) -> None:
        page.chromium.call(
            "Emulation.setDeviceMetricsOverride", width=320, height=568, deviceScaleFactor=2, mobile=True
        )
        try:
            for path in PATHS:
                page.open(path, token="x")
                assert page.chromium.evaluate("document.documentElement.scrollWidth") <= 320
                assert page.chromium.evaluate("document.querySelector('button').offsetHeight") >= 44
        finally:
            page.chromium.call("Emulation.clearDeviceMetricsOverride")
