"""The page behind the link of a mail. Mail scanners open links, so opening it changes nothing: its button does."""

import secrets

from starlette.responses import HTMLResponse

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Chally: confirm your address</title>
<style nonce="{nonce}">
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 15vh auto; padding: 0 1rem; }}
button {{ font: inherit; padding: .6em 1.4em; border: 0; border-radius: .4em; background: #075; color: #fff; }}
</style></head><body>
<h1>Chally</h1>
<p id="text" role="status">Press the button to confirm your address.</p>
<button id="confirm">Confirm</button>
<script nonce="{nonce}">
const text = document.getElementById("text"), button = document.getElementById("confirm");
button.onclick = async () => {{
  button.disabled = true;
  try {{
    const token = new URLSearchParams(location.search).get("token") ?? "";
    const answer = await fetch(location.pathname, {{
      method: "POST", headers: {{ "content-type": "application/json" }}, body: JSON.stringify({{ token }}),
    }});
    text.textContent = answer.ok ? "Your address is confirmed. You can sign in now." : (await answer.json()).detail;
    button.hidden = answer.status < 500;
  }} catch {{
    text.textContent = "We could not be reached. Try again in a moment.";
  }}
  button.disabled = false;
}};
</script></body></html>
"""


def confirm_address() -> HTMLResponse:
    """HTML with one button, under a content security policy that lets nothing else run or load."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(_PAGE.format(nonce=nonce), headers={"content-security-policy": policy})
