"""The pages behind the link that switches off a kind of mail. They work without JavaScript and without a session.

Mail scanners open links, so opening the page changes nothing: its button does. It posts to the page's own address, as
the button of a mail program does (RFC 8058).
"""

import html
import secrets
from string import Template

from starlette.responses import HTMLResponse

from identity.pages import STYLE
from notifications.unsubscribe import MailKind

NAMES: dict[MailKind, str] = {"reminders": "reminders before your windows close"}
_OTHERS = "You will still get emails about your account and your proofs."
_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title &middot; Chally</title>
<style nonce="$nonce">$style</style></head><body><main>
<h1>$title</h1>
$content
</main></body></html>
""")
_BUTTON = """<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">
<button>Switch off reminders</button></form>"""


def ask(kind: MailKind) -> HTMLResponse:
    """The page that the link opens."""
    sentence = f"Press the button to get no more {NAMES[kind]}. {_OTHERS}"
    return _response("Switch off reminders?", f"{_paragraph(sentence)}\n{_BUTTON}")


def confirm(kind: MailKind) -> HTMLResponse:
    """The page after the button was pressed."""
    done = f"You will get no more {NAMES[kind]}. {_OTHERS}"
    back = "To switch them on again, sign in to the app and turn on reminders in your settings."
    return _response("Reminders are off", f"{_paragraph(done)}\n{_paragraph(back)}")


def refuse(status: int) -> HTMLResponse:
    """The page for a link that we did not send."""
    sentence = (
        "It is incomplete or was changed. Open the link in the mail again, or sign in to the app and turn off reminders"
        " in your settings."
    )
    return _response("This link is not valid", _paragraph(sentence), status)


def _paragraph(sentence: str) -> str:
    return f"<p>{html.escape(sentence)}</p>"


def _response(title: str, content: str, status: int = 200) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    text = _PAGE.substitute(nonce=nonce, style=STYLE, title=html.escape(title), content=content)
    return HTMLResponse(text, status, {"content-security-policy": policy})
