"""Rate limits: GCRA in Postgres. Every limit is a row of `core.limits`, which an operator may change.

A limit is consumed in a transaction of its own, before the request's, so an attempt counts even if the request fails.
"""

import hashlib
import ipaddress
from datetime import datetime, timedelta

from chally import context, db
from chally.actor import Actor
from chally.errors import RateLimited
from chally.settings import FunctionSettings, load


def consume(now: datetime, by: Actor | None = None, /, **subjects: str) -> None:
    """Count one attempt against each limit, given as `name=subject`; against none of them if any is used up.

    Raises `RateLimited`. Subjects (addresses, ids) are stored as hashes. `by` is the account that is charged: with it,
    a token whose session has ended raises `SessionEnded`, and cannot use up its owner's limits. A request that runs
    again after a conflict is not charged again.
    """
    charges, charge = context.current().charges, (by, subjects)
    if charges.redeem(charge):
        return
    with db.as_user(by) if by else db.as_anonymous() as tx:
        wait = take(tx, now, **subjects)
    if wait is not None:
        raise RateLimited(wait)
    charges.record(charge)


def take(tx: db.Tx, now: datetime, **subjects: str) -> timedelta | None:
    """Count one attempt in `tx`, as `consume` does in a transaction of its own. Return the wait if a limit refuses it,
    otherwise None. A name without a row in `core.limits` limits nothing.
    """
    exempt = ["ip"] if load(FunctionSettings).stage == "local" else []  # there every client is 127.0.0.1
    wait: timedelta | None = tx.value(
        "select max(retry_after) from core.take(%(names)s, %(subjects)s, %(lifted)s, %(now)s)",
        {
            "names": list(subjects),
            "subjects": [_hash(subject) for subject in subjects.values()],
            "lifted": exempt,
            "now": now,
        },
    )
    return wait


def reset(tx: db.Tx, name: str, subjects: list[str]) -> None:
    """Reset a limit for these subjects."""
    tx.run(
        "delete from core.rate_limits where name = %(name)s and subject = any(%(subjects)s)",
        {"name": name, "subjects": [_hash(subject) for subject in subjects]},
    )


def network(ip: str | None) -> str:
    """The address to count against: for IPv6 the /64 prefix, which belongs to one household or host."""
    address = ipaddress.ip_address(ip or "0.0.0.0")  # noqa: S104 - the address is unknown
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if address.version == 6 else str(address)


def delete_expired(tx: db.Tx, now: datetime) -> int:
    """Delete expired rows. Returns how many."""
    return tx.count("delete from core.rate_limits where full_at < %(now)s", {"now": now})


def _hash(subject: str) -> bytes:
    return hashlib.sha256(subject.encode()).digest()
