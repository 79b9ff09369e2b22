"""Exports: a ZIP of all personal data of a user. Requested over HTTP, built by a job, downloaded through a short-lived
link.

The mail that an export is ready links to the API, not to the file: a mailbox must not hold a key to everything.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from challenges import personal_data as challenges
from chally import audit, outbox, storage
from chally import personal_data as core
from chally.db import Tx
from chally.personal_data import StoredObject, TableRows
from identity import personal_data as identity
from identity import profile
from notifications import personal_data as notifications
from privacy import personal_data as privacy
from privacy import rules
from privacy.queries import exports as queries
from privacy.queries.exports import Export
from proofs import personal_data as proofs

if TYPE_CHECKING:
    from botocore.credentials import Credentials


@dataclass(frozen=True, slots=True)
class PersonalData:
    """The content of an export: rows by context and table, and the photos."""

    username: str
    contexts: dict[str, TableRows]
    photos: list[StoredObject]


def latest(tx: Tx, user_id: UUID, now: datetime) -> Export | None:
    """Return the user's latest export, unless it has expired."""
    return queries.latest(tx, user_id, now)


def request(tx: Tx, user_id: UUID, now: datetime) -> Export | None:
    """Request an export. None if one is being built."""
    requested = queries.add(tx, user_id, now)
    if requested is not None:
        audit.record(tx, "export_requested", now, user_id=user_id)
    return requested


def claim(tx: Tx, now: datetime) -> Export | None:
    """Lease an export, so that only the caller builds it; None if there is none to build."""
    return queries.claim(tx, now, leased_until=now + rules.EXPORT_LEASE, attempts=rules.EXPORT_ATTEMPTS)


def collect(tx: Tx, user_id: UUID) -> PersonalData | None:
    """Read everything that an export contains. None if the user does not exist."""
    user = profile.find(tx, user_id)
    if user is None:
        return None
    return PersonalData(
        user.username,
        {
            "core": core.export(tx, user_id, email=user.email),
            "identity": identity.export(tx, user_id),
            "challenges": challenges.export(tx, user_id),
            "proofs": proofs.export(tx, user_id),
            "notifications": notifications.export(tx, user_id),
            "privacy": privacy.export(tx, user_id),
        },
        [photo for photo in proofs.objects(tx, user_id) if photo.name is not None],
    )


def new_key(export_id: UUID) -> str:
    """Return a key for a ZIP: unguessable, different for every attempt, under the export's prefix."""
    return f"{rules.EXPORTS_PREFIX}{export_id}/{secrets.token_hex(32)}.zip"


def finish(tx: Tx, export: Export, *, object_key: str, size: int, public_url: str, now: datetime) -> bool:
    """Record the built ZIP and notify the user; False if another run was faster or they deleted their account."""
    expires_at = now + rules.EXPORT_LIFE
    if not queries.finish(tx, export.id, object_key=object_key, size=size, now=now, expires_at=expires_at):
        return False
    audit.record(tx, "export_built", now, user_id=export.user_id)
    values = {"link": f"{public_url}/v1/me/export", "expires_at": expires_at.isoformat()}
    outbox.add(tx, "mail", {"template": "export_ready", "user_id": str(export.user_id), "values": values})
    return True


def link(
    export: Export, *, bucket: str, region: str, endpoint_url: str | None, credentials: "Credentials", now: datetime
) -> str | None:
    """Return a URL that downloads the ZIP, valid for ten minutes or until it expires; None while it is being built."""
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


def delete_old(tx: Tx, now: datetime) -> int:
    """Delete the rows of exports that expired or failed for good; returns how many."""
    return queries.delete_old(tx, now - rules.EXPORTS_KEPT)
