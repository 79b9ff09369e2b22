"""Mails: composed from a template and its values, and sent with SES."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from chally import aws, wall_clock
from notifications.quoting import quote
from notifications.templates import TEMPLATES

# Values that are links, or parts of one. All others are quoted, whoever wrote them.
_LINKS = ("public_url", "token", "link")


@dataclass(frozen=True, slots=True)
class Mail:
    subject: str
    text: str


def compose(template: str, values: dict[str, Any], *, public_url: str, timezone: str) -> Mail:
    """Fill in a template. `timezone`: the reader's, in which instants are told.

    A value that is a list becomes a line for each item. Instants (`*_at`) are ISO 8601; if `values` has a `timezone`,
    that of the challenge, they are told in it, too, where its clocks differ. Raises KeyError for an unknown template or
    a missing value.
    """
    found = TEMPLATES[template]
    beside = values.get("timezone")
    fields = {name: _text(name, value, timezone, beside) for name, value in values.items() if value is not None}
    fields["public_url"] = public_url
    paragraphs = [found.text, *(text for name, text in found.optional.items() if name in fields)]
    return Mail(found.subject.format_map(fields), "\n".join(paragraphs).format_map(fields))


def _text(name: str, value: str | list[str], timezone: str, beside: str | None) -> str:
    if isinstance(value, list):
        return "\n".join(f"- {quote(item)}" for item in value)
    if name.endswith("_at"):
        return wall_clock.describe(datetime.fromisoformat(value), timezone, beside=beside)
    return value if name in _LINKS else quote(value)


def send(mail: Mail, *, to: str, sender: str, message_id: UUID) -> None:
    """Send an email with SES. The id is the same for every attempt, so that repeats can be recognised."""
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
