"""HTTP of exports of personal data."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from chally import aws, clock, db, http, ratelimit
from chally.actor import check_fresh
from chally.http import CurrentActor
from chally.settings import PrivacySettings, load
from identity import credentials
from privacy import exports

router = http.router("privacy")


class ExportOut(BaseModel):
    """The state of the export. `size` is in bytes. `url` downloads the ZIP without further credentials for ten minutes;
    each GET returns a new one. The ZIP is deleted at `expires_at`.
    """

    status: Literal["none", "building", "ready"]
    requested_at: datetime | None = None
    size: int | None = None
    url: str | None = None
    expires_at: datetime | None = None


@router.post("/v1/me/export", summary="Request an export of my data", status_code=202)
async def request_export(actor: CurrentActor) -> ExportOut:
    """Request a ZIP of all my data. An email tells when it is ready. While one is being built, no other is started.

    Requires a sign-in within the last ten minutes, and with an authenticator app a second factor (see POST
    /v1/me/step-up), so that an unlocked device does not give everything away.
    """
    now = clock.now()
    with db.as_account(actor, "look for an export", read_only=True) as tx:
        check_fresh(tx.session, now)
        credentials.check_factor(tx, actor.user_id)
        found = exports.latest(tx, actor.user_id, now)
    if found is None or found.built_at is not None:
        ratelimit.consume(now, actor, export=str(actor.user_id))
        with db.as_account(actor, "POST /v1/me/export") as tx:
            found = exports.request(tx, actor.user_id, now)
    # None if a concurrent request was faster
    return ExportOut(status="building", requested_at=found.requested_at if found else now)


@router.get("/v1/me/export", summary="Get my export")
async def get_export(actor: CurrentActor) -> ExportOut:
    """Get the state of my export, and a link to download it. When it is ready, this requires the same recent sign-in
    as requesting it.
    """
    now = clock.now()
    with db.as_account(
        actor, "GET /v1/me/export", read_only=True
    ) as tx:  # not a dependency: credentials may come by network
        found = exports.latest(tx, actor.user_id, now)
        if found is not None and found.built_at is not None:
            check_fresh(tx.session, now)
            credentials.check_factor(tx, actor.user_id)
    if found is None:
        return ExportOut(status="none")
    if found.built_at is None:
        return ExportOut(status="building", requested_at=found.requested_at)
    settings = load(PrivacySettings)
    url = exports.link(
        found,
        bucket=settings.uploads_bucket,
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        credentials=aws.credentials(),
        now=now,
    )
    return ExportOut(
        status="ready",
        requested_at=found.requested_at,
        size=found.size,
        url=url,
        expires_at=found.expires_at,
    )
