"""HTTP of windows: when the actor can prove a challenge."""

from datetime import date, datetime, timedelta
from typing import Annotated, Self
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from challenges import overlay, overlay_key, rules, windows
from challenges.language import Rules
from challenges.routes import access
from chally import clock, db, http, qr
from chally.errors import FieldError, InvalidRequest, NotFound
from chally.fields import Date
from chally.http import CurrentActor, UserTx
from chally.paging import Page
from chally.settings import ChallengesSettings, load

router = http.router("challenges")

MAX_DAYS = 62


class WindowProofOut(BaseModel):
    """A proof that you sent in this window. GET /v1/proofs/{id} returns the rest."""

    id: UUID
    status: rules.WindowProofStatus


class WindowOut(BaseModel):
    """One of your windows. While `state` is `open` you can send proofs; while it is `closed` a verdict is pending."""

    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str
    tzdata: str
    state: rules.WindowState
    proofs: list[WindowProofOut]

    @classmethod
    def of(cls, window: windows.Window, now: datetime) -> Self:
        return cls(
            local_date=window.local_date,
            opens_at=window.opens_at,
            closes_at=window.closes_at,
            timezone=window.timezone,
            tzdata=window.tzdata,
            state=rules.window_state(window.outcome, window.opens_at, window.closes_at, now),
            proofs=[WindowProofOut(id=proof.id, status=proof.status) for proof in window.proofs],
        )


class OverlayOut(BaseModel):
    """What the photo must show: `qr` is an SVG image of a QR code that contains `token`."""

    token: str
    qr: str


class CurrentWindowOut(WindowOut):
    overlay: Annotated[
        OverlayOut | None,
        Field(
            description="The QR code to show in the photo, if the rules require one. Null before the window opens, so "
            "that a photo that shows it cannot have been taken earlier"
        ),
    ] = None


@router.get("/v1/challenges/{challenge_id}/windows", summary="List your windows")
async def list_my_windows(
    challenge_id: UUID,
    tx: UserTx,
    first: Annotated[Date, Query(alias="from")],
    last: Annotated[Date, Query(alias="to")],
) -> Page[WindowOut]:
    """List your windows in a range of local dates, past or future: up to 62 days, on one page."""
    if not timedelta(0) <= last - first < timedelta(days=MAX_DAYS):
        message = f"Must not be before `from`, and the range can have at most {MAX_DAYS} days."
        raise InvalidRequest(errors=[FieldError(pointer="/query/to", message=message)])
    now = clock.now()
    found = windows.between(tx, access.participant_id(access.find(tx, challenge_id)), first, last, now)
    return Page(items=[WindowOut.of(window, now) for window in found], has_more=False, next_cursor=None)


@router.get("/v1/challenges/{challenge_id}/windows/current", summary="Get your current window")
async def get_current_window(challenge_id: UUID, actor: CurrentActor) -> CurrentWindowOut:
    """Get your window that is open now, or else your next one."""
    now = clock.now()
    with db.as_user(actor, read_only=True) as tx:  # ends before the overlay's key is fetched over the network
        challenge = access.find(tx, challenge_id)
        window = windows.current(tx, access.participant_id(challenge), now)
    if window is None:
        raise NotFound("This challenge has no more windows: it is over.")
    out = CurrentWindowOut.of(window, now)
    requires_overlay = Rules.model_validate(challenge.rules).anti_cheat.overlay
    if requires_overlay and rules.accepts_proofs(challenge.status, window.opens_at, window.closes_at, now):
        key = overlay_key.cached(load(ChallengesSettings).overlay_secret_arn)
        token = overlay.issue(key, window.participant_id, window.local_date)
        out.overlay = OverlayOut(token=token, qr=qr.svg(token, error="Q"))
    return out
