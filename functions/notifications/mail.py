"""Mails: composed from a template and its values, and sent with SES."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from chally import aws, wall_clock
from notifications.quoting import quote
from notifications.templates import TEMPLATES

# Values that are links, or parts of one. All others are quoted.
_LINKS = ("token", "link")


@dataclass(frozen=True, slots=True)
class Mail:
    """`unsubscribe_url`: the link that switches off mails of this kind."""

    subject: str
    text: str
    unsubscribe_url: str | None = None


def compose(
    template: str, values: dict[str, Any], *, public_url: str, timezone: str, unsubscribe_url: str | None = None
) -> Mail:
    """Fill in a template. `timezone`: the reader's, in which instants are told.

    A value that is a list becomes a line for each item. Instants (`*_at`) are ISO 8601; if `values` has a `timezone`,
    that of the challenge, they are told in it, too, where its clocks differ. Raises KeyError for an unknown template or
    a missing value.
    """
    found = TEMPLATES[template]
    beside = values.get("timezone")
    fields = {name: _text(name, value, timezone, beside) for name, value in values.items() if value is not None}
    fields["public_url"] = public_url
    if unsubscribe_url is not None:
        fields["unsubscribe_url"] = unsubscribe_url
    paragraphs = [found.text, *(text for name, text in found.optional.items() if name in fields)]
    return Mail(found.subject.format_map(fields), "\n".join(paragraphs).format_map(fields), unsubscribe_url)


def _text(name: str, value: str | list[str], timezone: str, beside: str | None) -> str:
    if isinstance(value, list):
        return "\n".join(f"- {quote(item)}" for item in value)
    if name.endswith("_at"):
        return wall_clock.describe(datetime.fromisoformat(value), timezone, beside=beside)
    return value if name in _LINKS else quote(value)


def send(mail: Mail, *, to: str, sender: str, message_id: UUID) -> None:
    """Send an email with SES. The id is the same for every attempt, so that repeats can be recognised."""
    headers = {"X-Chally-Message-Id": str(message_id)}
    if mail.unsubscribe_url is not None:
        # RFC 2369 and RFC 8058: mail programs show a button that posts to the link
        headers |= {
            "List-Unsubscribe": f"<{mail.unsubscribe_url}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
    aws.client("sesv2").send_email(
        FromEmailAddress=sender,
        Destination={"ToAddresses": [to]},
        Content={
            "Simple": {
                "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                "Body": {"Text": {"Data": mail.text, "Charset": "UTF-8"}},
                "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
            }
        },
    )
