"""HTTP of windows: when I may prove what."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from challenges import overlay, overlay_key, rules, windows
from challenges.language import Rules
from challenges.routes import shown
from chally import clock, db, http, qr
from chally.errors import FieldError, InvalidRequest, NotFound
from chally.http import CurrentActor, UserTx
from chally.paging import Page
from chally.settings import ChallengesSettings, load

router = http.router("challenges")

MAX_DAYS = 62


class WindowOut(BaseModel):
    """One of the caller's windows. `state`: an open one takes proofs; a closed one waits for its verdict."""

    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str
    tzdata: str
    state: rules.WindowState
    proofs: list[dict[str, Any]]

    @classmethod
    def of(cls, window: windows.Window, now: datetime) -> Self:
        return cls(
            local_date=window.local_date,
            opens_at=window.opens_at,
            closes_at=window.closes_at,
            timezone=window.timezone,
            tzdata=window.tzdata,
            state=rules.window_state(window.outcome, window.opens_at, window.closes_at, now),
            proofs=window.proofs,
        )


class OverlayOut(BaseModel):
    """What must be seen in the photo: `token`, as the QR code that `qr` is (SVG)."""

    token: str
    qr: str


class CurrentWindowOut(WindowOut):
    overlay: Annotated[
        OverlayOut | None,
        Field(
            description="what to show in the photo, where the rules ask for it; null before the window opens, because "
            "a photo that shows it cannot have been taken earlier"
        ),
    ] = None


@router.get("/v1/challenges/{challenge_id}/windows")
async def list_windows(
    challenge_id: UUID,
    tx: UserTx,
    first: Annotated[date, Query(alias="from")],
    last: Annotated[date, Query(alias="to")],
) -> Page[WindowOut]:
    """My windows of these local dates, past or future: all of them on one page."""
    if not timedelta(0) <= last - first < timedelta(days=MAX_DAYS):
        message = f"Ask for at most {MAX_DAYS} days, with `to` not before `from`."
        raise InvalidRequest(errors=[FieldError(pointer="/query/to", message=message)])
    now = clock.now()
    found = windows.between(tx, shown.own_place(tx, challenge_id), first, last, now)
    return Page(items=[WindowOut.of(window, now) for window in found], has_more=False, next_cursor=None)


@router.get("/v1/challenges/{challenge_id}/windows/current")
async def current_window(challenge_id: UUID, actor: CurrentActor) -> CurrentWindowOut:
    """My window that is open now, or else the next one."""
    now = clock.now()
    with db.as_user(actor, read_only=True) as tx:  # its own: the overlay's key may come by network
        challenge = shown.found(tx, challenge_id)
        window = windows.current(tx, shown.place(challenge), now)
    if window is None:
        raise NotFound("This challenge has no window any more: it is over.")
    out = CurrentWindowOut.of(window, now)
    asked = Rules.model_validate(challenge.rules).anti_cheat.overlay
    if asked and rules.takes_proofs(challenge.status, window.opens_at, window.closes_at, now):
        key = overlay_key.current(load(ChallengesSettings).overlay_secret_arn)
        token = overlay.issue(key, window.participant_id, window.local_date)
        out.overlay = OverlayOut(token=token, qr=qr.svg(token, error="Q"))
    return out
