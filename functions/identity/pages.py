"""The pages behind the links of mails. Mail scanners open links, so opening one changes nothing: its button does.

One template: a title, a sentence, a button that posts the link's token to the page's own path, and what to say then.
The token stays in the browser's address bar: no page repeats it.
"""

import html
import secrets
from dataclasses import dataclass
from string import Template

from starlette.responses import HTMLResponse

_STYLE = """
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
# What a person can put right stays on the page (a weak password, a wrong code, waiting); the rest is said and final.
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
  text.textContent = "One step more: enter the code that your authenticator app shows.";
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
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body()) });
    const said = answer.status === 204 ? {} : await answer.json();
    if (answer.ok) {
      end(form.dataset.done.replace("{username}", () => said.user?.username));
    } else if (said.code === "mfa_required") {
      askForCode(said.mfa_token);
    } else {
      const sentences = [said.detail, ...(said.errors ?? []).map((error) => error.message)].join(" ");
      const again = [401, 422, 429].includes(answer.status) || answer.status >= 500;
      if (again && said.code !== "mfa_token_invalid") text.textContent = sentences;
      else end(sentences);
    }
  } catch {
    text.textContent = "We could not be reached. Try again in a moment.";
  }
  button.disabled = false;
});

if (token === null && "needsToken" in form.dataset) end("This link is not whole. Open it once more from the mail.");
"""
_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title: Chally</title>
<style nonce="$nonce">$style</style></head><body><main>
<h1>$title</h1>
<p id="text" role="status" tabindex="-1">$sentence</p>
<form data-done="$done"$flags>$field
<button>$button</button></form>
<noscript><p>This page works with JavaScript only: please turn it on.</p></noscript>
</main><script nonce="$nonce">$script</script></body></html>
""")
_CODE = """
<fieldset id="code" hidden disabled><label for="code-input">Code from your app, or a backup code</label>
<input id="code-input" name="code" autocomplete="one-time-code" required maxlength="40"></fieldset>"""
_PASSWORD = """
<label for="password">New password, 10 characters or more</label>
<input id="password" name="password" type="password" autocomplete="new-password" required maxlength="1000">"""  # noqa: S105
_ADDRESS = """
<label for="email">Your mail address</label>
<input id="email" name="email" type="email" autocomplete="email" required maxlength="254">"""


@dataclass(frozen=True, slots=True)
class _Page:
    """`field`: HTML of what is asked for. `signs_in`: the answer is a session, which only cookies can keep here."""

    title: str
    sentence: str
    button: str
    done: str
    field: str = ""
    signs_in: bool = False
    needs_token: bool = True

    def answer(self) -> HTMLResponse:
        """The page, under a content security policy that lets nothing else run or load."""
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self';"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = _PAGE.substitute(
            nonce=nonce,
            style=_STYLE,
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
    """Of `verify_email`."""
    return _Page(
        "Confirm your address",
        "Press the button to confirm your address.",
        "Confirm",
        "Your address is confirmed, and you are signed in as {username}.",
        field=_CODE,
        signs_in=True,
    ).answer()


def sign_in() -> HTMLResponse:
    """Of `magic_link`: says as whom one is signed in, so that nobody is led into somebody else's account unawares."""
    return _Page(
        "Sign in",
        "Press the button to sign in to Chally on this device.",
        "Sign in",
        "You are signed in as {username}.",
        field=_CODE,
        signs_in=True,
    ).answer()


def forgotten_password() -> HTMLResponse:
    """Asks for a `password_reset`: notices of what may not have been one's own doing lead here."""
    return _Page(
        "Forgotten your password?",
        "Enter your mail address, and we send you a link to set a new one.",
        "Send the link",
        "If there is an account with this address, a mail is on its way to it. Its link is good for 15 minutes.",
        field=_ADDRESS,
        needs_token=False,
    ).answer()


def new_password() -> HTMLResponse:
    """Of `password_reset`."""
    return _Page(
        "Set a new password",
        "A few words in a row are good. Every device is signed out, and you sign in with the new one.",
        "Set the password",
        "Your new password is set, and every device is signed out. You can sign in now.",
        field=_PASSWORD,
    ).answer()


def confirm_change() -> HTMLResponse:
    """Of `email_change`."""
    return _Page(
        "Confirm your new address",
        "Press the button to make this the address of your account.",
        "Confirm",
        "This is the address of your account from now on.",
    ).answer()


def unlock() -> HTMLResponse:
    """Of `unlock`."""
    return _Page(
        "Unlock signing in",
        "Press the button, and you can try your password again without waiting.",
        "Unlock",
        "Signing in is unlocked. You can try again now.",
    ).answer()
