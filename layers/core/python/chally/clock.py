"""The only clock. Code below a handler takes `now` as an argument, so that any instant can be tested."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time in UTC, timezone-aware."""
    return datetime.now(UTC)
