"""HTTP of the user's own account and its sessions. `privacy` has the calls that involve other contexts."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.responses import Response

from chally import audit, clock, cookies, http, limits
from chally.errors import NotFound, Unauthenticated
from chally.http import AccountTx, CurrentActor, UserTx
from chally.paging import Page, PageParams, invalid_cursor
from identity import rules
from identity.profile import UserOut
from identity.queries import sessions, users
from identity.queries.sessions import SessionRow

router = http.router("identity")


class SessionItemOut(BaseModel):
    """A session. `device` is the user agent of the browser or app; `ended_because` explains `ended_reason`."""

    id: UUID
    current: Annotated[bool, Field(description="Whether it is the session of this call.")]
    device: str | None
    ip: str | None
    created_at: datetime
    last_seen_at: Annotated[datetime, Field(description="When its tokens were last refreshed.")]
    ended_at: datetime | None
    ended_reason: (
        Literal["signed_out", "reuse", "password_changed", "second_factor_on", "account_deleted", "expired"] | None
    )
    ended_because: str | None

    @classmethod
    def of(cls, row: SessionRow, *, current: UUID) -> Self:
        return cls.model_validate(
            {
                **{name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)},
                "current": row.id == current,
                "device": row.user_agent,
                "ended_because": rules.explain_end(row.ended_reason) if row.ended_reason else None,
            }
        )


@router.get("/v1/auth/me", summary="Get my account", operation_id="getSignedInAccount")
@router.get("/v1/me", summary="Get my account")
async def get_account(actor: CurrentActor, tx: UserTx) -> UserOut:
    """Get my account."""
    user = users.user(tx, actor.user_id)
    if user is None:  # the account was purged before the token expired
        raise Unauthenticated
    return UserOut.of(user)


@router.get("/v1/me/sessions", summary="List my sessions")
async def list_my_sessions(actor: CurrentActor, tx: AccountTx, asked: PageParams) -> Page[SessionItemOut]:
    """List my sessions: live ones first, then newest first. Ended sessions are kept for 90 days."""
    offset = asked.offset if asked.position is None else _offset(asked.position)
    rows = sessions.list_page(tx, actor.user_id, limit=asked.fetch_limit, offset=offset, now=clock.now())
    items = [SessionItemOut.of(row, current=actor.session_id) for row in rows]
    return asked.page(rows, items, [str(offset + place) for place in range(1, len(rows) + 1)])


@router.delete(
    "/v1/me/sessions/{session_id}",
    summary="End a session",
    status_code=204,
    dependencies=[limits.per_account("session_end")],
)
async def end_session(session_id: UUID, actor: CurrentActor, tx: AccountTx, response: Response) -> None:
    """End a session and its access token at once. Returns 204 also if it had ended before."""
    if not sessions.belongs_to(tx, session_id, actor.user_id):
        raise NotFound
    now = clock.now()
    if sessions.end_session(tx, session_id, "signed_out", now):
        audit.record(tx, "session_ended", now, user_id=actor.user_id, ended=str(session_id))
    if session_id == actor.session_id:
        cookies.clear(response)


def _offset(position: str) -> int:
    """Parse the position of a page of sessions: an offset, because no id reflects their order."""
    if not position.isdecimal() or len(position) > 7:
        raise invalid_cursor()
    return int(position)
