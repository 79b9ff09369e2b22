"""Exports: a ZIP of everything held on a person. Asked for here, built by a job, fetched by a link good for minutes.

The mail that says it is ready leads back to the club, not to the file: a mailbox is no place for a key to everything.
"""

import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from chally import audit, outbox, storage
from chally.db import Tx
from identity import rules
from identity.queries import exports as queries
from identity.queries.exports import Export

if TYPE_CHECKING:
    from botocore.credentials import Credentials

PREFIX = "exports/"


def request(tx: Tx, user_id: UUID, now: datetime) -> Export | None:
    """Ask for a new one; None when one is under way."""
    asked = queries.add(tx, user_id, now)
    if asked is not None:
        audit.record(tx, "export_requested", now, user_id=user_id)
    return asked


def claim(tx: Tx, now: datetime) -> Export | None:
    """One to be built by the caller alone, for as long as a function lives; None when there is nothing to do."""
    return queries.claim(tx, now, leased_until=now + rules.EXPORT_LEASE, attempts=rules.EXPORT_ATTEMPTS)


def new_key(export_id: UUID) -> str:
    """Where a ZIP goes: every attempt elsewhere, under what names the export, so that all of them can be found."""
    return f"{PREFIX}{export_id}/{secrets.token_hex(32)}.zip"


def finish(tx: Tx, export: Export, *, object_key: str, size: int, public_url: str, now: datetime) -> bool:
    """Record what was built, and tell its person; False when another run was quicker, or they left meanwhile."""
    expires_at = now + rules.EXPORT_LIFE
    if not queries.finish(tx, export.id, object_key=object_key, size=size, now=now, expires_at=expires_at):
        return False
    audit.record(tx, "export_built", now, user_id=export.user_id)
    values = {"link": f"{public_url}/v1/me/export"}
    outbox.add(tx, "mail", {"template": "export_ready", "user_id": str(export.user_id), "values": values})
    return True


def link(
    export: Export, *, bucket: str, region: str, endpoint_url: str | None, credentials: "Credentials", now: datetime
) -> str | None:
    """A URL that downloads it, for ten minutes or until it expires; None while it is built."""
    if export.object_key is None or export.expires_at is None or export.built_at is None:
        return None
    return storage.presign(
        "GET",
        bucket=bucket,
        key=export.object_key,
        expires=min(rules.EXPORT_LINK_LIFE, max(export.expires_at - now, timedelta(seconds=1))),
        now=now,
        region=region,
        endpoint_url=endpoint_url,
        credentials=credentials,
        query={"response-content-disposition": f'attachment; filename="chally-{export.built_at:%Y-%m-%d}.zip"'},
    )
