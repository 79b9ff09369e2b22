"""Whether Postgres, which computes windows, and Python, whose release of tzdata they record, read clocks alike."""

from collections.abc import Sequence
from datetime import datetime

from challenges.queries import zones as queries
from challenges.queries.zones import Differing
from chally import zones
from chally.db import Tx

DAYS = 400  # a year of changes, and those of next spring


def in_use(tx: Tx) -> list[str]:
    """Every zone of a person, a place or a challenge, by name."""
    return queries.in_use(tx)


def differing(tx: Tx, names: Sequence[str], now: datetime) -> list[Differing]:
    """Those of these zones whose clocks the two read differently at any instant of the next `DAYS`.

    A zone that Python has lost differs, too.
    """
    lost = [Differing(name, 0, None) for name in names if name not in zones.names()]
    known = [name for name in names if name in zones.names()]
    clocks = [(name, at, offset) for name in known for at, offset in zones.offsets(name, now, DAYS)]
    return lost + queries.differing(tx, clocks)
