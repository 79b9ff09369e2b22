"""The only clock. Everything below a handler takes `now` as an argument, so that any instant can be tested."""

from datetime import UTC, datetime


def now() -> datetime:
    """This instant, in UTC, with a zone."""
    return datetime.now(UTC)
