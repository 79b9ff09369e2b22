"""The pages behind the links in mails. Mail scanners open links, so opening a page changes nothing; its button does.

One template: a title, a sentence, a button that posts the link's token to the page's path, and the text to show
afterwards. The token stays in the browser's address bar: no page contains it.
"""

import html
import secrets
from dataclasses import dataclass
from string import Template

from starlette.responses import HTMLResponse

STYLE = """
:root { color-scheme: light dark; }
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 12vh auto; padding: 0 1rem; }
label, input { display: block; width: 100%; box-sizing: border-box; }
label { margin: 1rem 0 .3rem; }
input { font: inherit; padding: .6em; border: 1px solid; border-radius: .4em; }
button { font: inherit; margin-top: 1rem; padding: .7em 1.4em; border: 0; border-radius: .4em; }
button { background: #075; color: #fff; }
button:disabled { opacity: .6; }
fieldset { border: 0; margin: 0; padding: 0; }
h1 { line-height: 1.2; }
:focus-visible { outline: 3px solid #c60; outline-offset: 2px; }
#text { outline: none; }
"""
# After an error that the user can correct (a weak password, a wrong code, a wait) the form stays; others are final.
_SCRIPT = """
const text = document.getElementById("text"), code = document.getElementById("code");
const form = document.querySelector("form"), button = form.querySelector("button");
const token = new URLSearchParams(location.search).get("token");
let path = location.pathname, known = token === null ? {} : { token };

function end(sentence) {
  text.textContent = sentence;
  form.hidden = true;
  text.focus();
}

function askForCode(mfa_token) {
  path = new URL("../mfa", location.href).pathname;
  known = { mfa_token };
  text.textContent = "One more step: enter the code from your authenticator app.";
  code.hidden = code.disabled = false;
  code.querySelector("input").focus();
}

function body() {
  const sent = { ...known, ...Object.fromEntries(new FormData(form)) };
  if (!("code" in sent)) return sent;
  const digits = sent.code.replace(/\\s/g, "");
  if (/^[0-9]{6}$/.test(digits)) return { ...known, code: digits };
  return { ...known, backup_code: sent.code.trim() };
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  try {
    const headers = { "content-type": "application/json" };
    if ("signsIn" in form.dataset) headers["x-session-transport"] = "cookie";
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body()) });
    const result = response.status === 204 ? {} : await response.json();
    if (response.ok) {
      end(result.notice ?? form.dataset.done.replace("{username}", () => result.user?.username));
    } else if (result.code === "mfa_required") {
      askForCode(result.mfa_token);
    } else {
      const sentences = [result.detail, ...(result.errors ?? []).map((error) => error.message)].join(" ");
      const again = [401, 422, 429].includes(response.status) || response.status >= 500;
      if (again && result.code !== "mfa_token_invalid") text.textContent = sentences;
      else end(sentences);
    }
  } catch {
    text.textContent = "We could not reach Chally. Try again in a moment.";
  }
  button.disabled = false;
});

if (token === null && "needsToken" in form.dataset) end("This link is incomplete. Open it from the mail again.");
"""
_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title &middot; Chally</title>
<style nonce="$nonce">$style</style></head><body><main>
<h1>$title</h1>
<p id="text" role="status" tabindex="-1">$sentence</p>
<form data-done="$done"$flags>$field
<button>$button</button></form>
<noscript><p>This page requires JavaScript. Please turn it on.</p></noscript>
</main><script nonce="$nonce">$script</script></body></html>
""")
_CODE = """
<fieldset id="code" hidden disabled><label for="code-input">Code from your app, or a backup code</label>
<input id="code-input" name="code" autocomplete="one-time-code" required maxlength="40"></fieldset>"""
_PASSWORD = """
<label for="password">New password (at least 10 characters)</label>
<input id="password" name="password" type="password" autocomplete="new-password" required maxlength="1000">"""  # noqa: S105
_ADDRESS = """
<label for="email">Your email address</label>
<input id="email" name="email" type="email" autocomplete="email" required maxlength="254">"""


@dataclass(frozen=True, slots=True)
class _Page:
    """`field`: HTML of the form's input. `signs_in`: the response is a session, which this page keeps in cookies."""

    title: str
    sentence: str
    button: str
    done: str
    field: str = ""
    signs_in: bool = False
    needs_token: bool = True

    def response(self) -> HTMLResponse:
        """Render the page. Its content security policy lets nothing else run or load."""
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self';"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = _PAGE.substitute(
            nonce=nonce,
            style=STYLE,
            script=_SCRIPT,
            title=html.escape(self.title),
            sentence=html.escape(self.sentence),
            button=html.escape(self.button),
            done=html.escape(self.done),
            flags=" data-signs-in" * self.signs_in + " data-needs-token" * self.needs_token,
            field=self.field,
        )
        return HTMLResponse(text, headers={"content-security-policy": policy})


def confirm_address() -> HTMLResponse:
    """The page of `verify_email` mails."""
    return _Page(
        "Confirm your address",
        "Press the button to confirm your address.",
        "Confirm",
        "Your address is confirmed, and you are signed in as {username}.",
        field=_CODE,
        signs_in=True,
    ).response()


def sign_in() -> HTMLResponse:
    """The page of `magic_link` mails. It names the account, so that nobody is lured into another person's unawares."""
    return _Page(
        "Sign in",
        "Press the button to sign in to Chally on this device.",
        "Sign in",
        "You are signed in as {username}.",
        field=_CODE,
        signs_in=True,
    ).response()


def forgotten_password() -> HTMLResponse:
    """The page that requests a `password_reset` mail. Security notices link to it."""
    return _Page(
        "Forgot your password?",
        "Enter your email address and we will send you a link to set a new one.",
        "Send the link",
        "If an account has this address, we have sent it an email with a link that is valid for 15 minutes.",
        field=_ADDRESS,
        needs_token=False,
    ).response()


def new_password() -> HTMLResponse:
    """The page of `password_reset` mails."""
    return _Page(
        "Set a new password",
        "Use a few words in a row. Every device will be signed out; sign in again with the new password.",
        "Set the password",
        "Your new password is set and every device is signed out. You can sign in now.",
        field=_PASSWORD,
    ).response()


def confirm_change() -> HTMLResponse:
    """The page of `email_change` mails."""
    return _Page(
        "Confirm your new address",
        "Press the button to use this address for your account.",
        "Confirm",
        "Your account now uses this address.",
    ).response()


def unlock() -> HTMLResponse:
    """The page of `unlock` mails."""
    return _Page(
        "Unlock sign-in",
        "Press the button to try your password again without waiting.",
        "Unlock",
        "Sign-in is unlocked. You can try again now.",
    ).response()
