"""SQL of the public signing keys. One function, one statement."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from chally.access_tokens import ALGORITHM
from chally.db import Tx


def publish_key(tx: Tx, kid: str, jwk: dict[str, Any]) -> None:
    tx.run(
        "insert into core.signing_keys (kid, jwk) values (%(kid)s, %(jwk)s) on conflict (kid) do nothing",
        {"kid": kid, "jwk": Jsonb(jwk)},
    )


def set_end(tx: Tx, kid: str, verifies_until: datetime | None) -> None:
    """Set until when tokens of a key verify; None if that is not known yet."""
    tx.run(
        "update core.signing_keys set verifies_until = %(until)s"
        " where kid = %(kid)s and verifies_until is distinct from %(until)s",
        {"kid": kid, "until": verifies_until},
    )


def end_orphaned_keys(tx: Tx, known: Collection[str], *, published_before: datetime, verifies_until: datetime) -> int:
    """Set an end for published keys of access tokens that are in no secret: their run was cut off in between. Returns
    how many. Receipt keys never end, because receipts are kept.
    """
    return tx.count(
        """
        update core.signing_keys set verifies_until = %(until)s
        where verifies_until is null and created_at < %(published_before)s and kid <> all(%(known)s)
          and jwk ->> 'alg' = %(algorithm)s
        """,
        {
            "known": list(known),
            "published_before": published_before,
            "until": verifies_until,
            "algorithm": ALGORITHM,
        },
    )
