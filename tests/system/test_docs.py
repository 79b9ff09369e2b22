"""The API reference in a real browser that also has the cookies of a session."""

import json

import pytest

from chally import settings
from tests.support.browser import Browser, find
from tests.support.database import Database
from tests.support.people import PASSWORD, SignUp
from tests.support.served import served

PROGRAM = find()
pytestmark = [pytest.mark.long, pytest.mark.skipif(PROGRAM is None, reason="no Chromium on PATH")]

SIGN_IN = """
fetch("/v1/auth/login", {
  method: "POST",
  headers: {"content-type": "application/json", "x-session-transport": "cookie"},
  body: JSON.stringify({login: "kari", password: %s}),
}).then((response) => response.status)
"""
# Press the buttons of an operation, and return the status that the page shows.
TRY = """
(async () => {
  const until = (selector) => new Promise((resolve) => {
    const look = () => {
      const found = document.querySelector(selector);
      if (found) { observer.disconnect(); resolve(found); }
    };
    const observer = new MutationObserver(look);
    observer.observe(document.documentElement, { childList: true, subtree: true });
    look();
  });
  const block = "#operations-" + %s;
  if (%s) { await until(block); ui.preauthorizeApiKey("bearer", %s); }
  (await until(block + " .opblock-summary-control")).click();
  (await until(block + " .try-out__btn")).click();
  (await until(block + " button.execute")).click();
  return (await until(block + " .live-responses-table tr.response .response-col_status")).textContent.trim();
})()
"""


def attempt(operation: str, token: str | None) -> str:
    return TRY % (json.dumps(operation), json.dumps(token is not None), json.dumps(token))


def test_an_admin_reads_and_tries_the_reference_with_cookies_in_prod(
    person: SignUp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from identity import passwords

    kari = person("kari")
    monkeypatch.setattr(passwords, "matches", lambda *_, **__: True)
    monkeypatch.setattr(passwords, "is_outdated", lambda _: False)
    database.execute("update identity.users set role = 'admin'")
    monkeypatch.setenv("CHALLY_STAGE", "prod")
    settings.load.cache_clear()
    assert PROGRAM
    with served() as url, Browser(PROGRAM) as browser:
        browser.open(f"{url}/v1/auth/verify-email?token=x&utm_source=mail")
        assert browser.evaluate(SIGN_IN % json.dumps(PASSWORD)) == 200
        database.execute("update identity.sessions set second_factor = true")
        browser.open(f"{url}/docs")
        assert browser.evaluate(attempt("identity-getAccount", None)) == "200"  # by cookies
        assert browser.evaluate(attempt("privacy-changeAccount", None)) == "200"  # with the CSRF token
        browser.open(f"{url}/docs?again")
        assert browser.evaluate(attempt("identity-getAccount", kari.token)) == "200"  # by the token, without cookies
