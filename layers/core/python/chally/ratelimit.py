"""Limits: how often one may ask. GCRA in Postgres, every limit a row of `core.limits` that an operator may change.

Taken in a transaction of its own, before the request's: an attempt counts whatever becomes of it.
"""

import hashlib
import ipaddress
from datetime import datetime, timedelta

from chally import db
from chally.actor import Actor
from chally.errors import RateLimited
from chally.settings import FunctionSettings, load


def take(now: datetime, by: Actor | None = None, /, **subjects: str) -> None:
    """Count one attempt against each limit, `name=subject`. Raises `RateLimited` when any is used up.

    What any of them refuses counts against none. Subjects (addresses, ids) are stored hashed. `by`: whose account it
    counts for. A token whose session has ended must not use its owner's limits up: it raises `SessionEnded`.
    """
    lifted = ["ip"] if load(FunctionSettings).stage == "local" else []  # there every client is 127.0.0.1
    with db.as_user(by) if by else db.as_anonymous() as tx:
        wait: timedelta | None = tx.value(
            "select max(retry_after) from core.take(%(names)s, %(subjects)s, %(lifted)s, %(now)s)",
            {
                "names": list(subjects),
                "subjects": [hashlib.sha256(subject.encode()).digest() for subject in subjects.values()],
                "lifted": lifted,
                "now": now,
            },
        )
    if wait is not None:
        raise RateLimited(wait)


def give_back(tx: db.Tx, name: str, subjects: list[str]) -> None:
    """Forget what was counted against a limit."""
    tx.run(
        "delete from core.rate_limits where name = %(name)s and subject = any(%(subjects)s)",
        {"name": name, "subjects": [hashlib.sha256(subject.encode()).digest() for subject in subjects]},
    )


def network(ip: str | None) -> str:
    """Whose address it is: of IPv6 the /64, which is what one household or host commands."""
    address = ipaddress.ip_address(ip or "0.0.0.0")  # noqa: S104 - stands for: we were not told
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if address.version == 6 else str(address)


def forget_old(tx: db.Tx, now: datetime) -> int:
    """Delete what has no say any more; answers how many rows."""
    return tx.count("delete from core.rate_limits where full_at < %(now)s", {"now": now})
