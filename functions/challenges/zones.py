"""Whether Postgres, which computes windows, and Python, whose tzdata release they record, agree on time zones."""

from collections.abc import Sequence
from datetime import datetime

from challenges.queries import zones as queries
from challenges.queries.zones import ZoneMismatch
from chally import zones
from chally.db import Tx

DAYS = 400  # a year of clock changes, and those of the following spring


def in_use(tx: Tx) -> list[str]:
    """Return the name of every time zone of an account, a participant or a challenge."""
    return queries.in_use(tx)


def mismatches(tx: Tx, names: Sequence[str], now: datetime) -> list[ZoneMismatch]:
    """Return those of these zones for which Postgres and Python disagree at any instant of the next `DAYS`.

    A zone that Python does not know is a mismatch, too.
    """
    unknown = [ZoneMismatch(name, 0, None) for name in names if name not in zones.names()]
    known = [name for name in names if name in zones.names()]
    clocks = [(name, at, offset) for name in known for at, offset in zones.offsets(name, now, DAYS)]
    return unknown + queries.mismatches(tx, clocks)
