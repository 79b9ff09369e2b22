"""SQL of wrong passwords in a row, by a hash of the login as typed. One function, one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class LoginFailures:
    failures: int
    failed_at: datetime


def find(tx: Tx, login_hash: bytes, since: datetime) -> LoginFailures | None:
    return tx.maybe(
        "select failures, failed_at from identity.login_failures"
        " where login_hash = %(login_hash)s and failed_at > %(since)s",
        {"login_hash": login_hash, "since": since},
        row=LoginFailures,
    )


def add(tx: Tx, login_hash: bytes, now: datetime, since: datetime) -> int:
    """Count one more failure and return how many in a row there are. Those before `since` no longer count."""
    count: int = tx.value(
        """
        insert into identity.login_failures as f (login_hash, failures, failed_at)
        values (%(login_hash)s, 1, %(now)s)
        on conflict (login_hash) do update set
            failures = case when f.failed_at > %(since)s then f.failures + 1 else 1 end, failed_at = excluded.failed_at
        returning failures
        """,
        {"login_hash": login_hash, "now": now, "since": since},
    )
    return count


def clear(tx: Tx, login_hashes: Sequence[bytes]) -> None:
    tx.run(
        "delete from identity.login_failures where login_hash = any(%(login_hashes)s)",
        {"login_hashes": list(login_hashes)},
    )


def delete_old(tx: Tx, since: datetime) -> int:
    return tx.count("delete from identity.login_failures where failed_at <= %(since)s", {"since": since})
