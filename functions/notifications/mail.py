"""The mails we send: a subject and a text for each template, and how they leave (SES)."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chally import aws


@dataclass(frozen=True, slots=True)
class Mail:
    subject: str
    text: str


_TEMPLATES = {
    "verify_email": Mail(
        "Confirm your address for Chally, {username}",
        "Hello {username},\n\nconfirm your address, and that you want to be {username} at Chally, by this link, within"
        " 15 minutes:\n\n"
        "{public_url}/v1/auth/verify-email?token={token}\n\n"
        "If you did not register at Chally under this name, ignore this mail: without the link nothing happens.\n",
    ),
    "account_exists": Mail(
        "You already have an account at Chally",
        "Hello {username},\n\nsomebody, probably you, tried to register at Chally with this address. You already have"
        " an account: just sign in.\n\nIf it was not you, you need not do anything.\n",
    ),
    "reminder": Mail(
        "Still open: {title}",
        "Hello {username},\n\nyour window for \u201c{title}\u201d closes at {closes} ({timezone})."
        " Send your proof before then.\n\nHave a good one!\n",
    ),
}


def compose(template: str, values: dict[str, Any], *, public_url: str) -> Mail:
    """The mail of a template. KeyError for an unknown template or a missing value."""
    mail = _TEMPLATES[template]
    known = values | {"public_url": public_url}
    # a title is people's text: a line break in it must not become a header
    subject = " ".join(mail.subject.format_map(known).split())
    return Mail(subject, mail.text.format_map(known))


def send(mail: Mail, *, to: str, sender: str, message_id: UUID) -> None:
    """Hand a mail to SES. The id is the same at every attempt, so that a repeat can be recognised."""
    aws.client("sesv2").send_email(
        FromEmailAddress=sender,
        Destination={"ToAddresses": [to]},
        Content={
            "Simple": {
                "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                "Body": {"Text": {"Data": mail.text, "Charset": "UTF-8"}},
                "Headers": [{"Name": "X-Chally-Message-Id", "Value": str(message_id)}],
            }
        },
    )
