"""HTTP of windows: when I may prove what."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from challenges import rules, windows
from challenges.routes import shown
from chally import clock, http
from chally.errors import FieldError, Invalid, NotFound
from chally.http import UserTx
from chally.paging import Page

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
        raise Invalid(errors=[FieldError(pointer="/query/to", message=message)])
    now = clock.now()
    found = windows.between(tx, shown.own_place(tx, challenge_id), first, last, now)
    return Page(items=[WindowOut.of(window, now) for window in found], has_more=False, next_cursor=None)


@router.get("/v1/challenges/{challenge_id}/windows/current")
async def current_window(challenge_id: UUID, tx: UserTx) -> WindowOut:
    """My window that is open now, or else the next one."""
    now = clock.now()
    window = windows.current(tx, shown.own_place(tx, challenge_id), now)
    if window is None:
        raise NotFound("This challenge has no window any more: it is over.")
    return WindowOut.of(window, now)
