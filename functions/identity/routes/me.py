"""HTTP of one's own account: who one is, where one is signed in, what is held, and leaving."""

from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.responses import Response

from chally import audit, aws, clock, cookies, db, http, ratelimit
from chally.body import Body
from chally.errors import NotFound, Unauthenticated
from chally.http import AccountTx, CurrentActor, UserTx
from chally.paging import Page, PageParams, bad_cursor
from chally.settings import IdentitySettings, load
from chally.zones import Zone
from identity import deletion, export, rules
from identity.queries import exports, people, sessions, users
from identity.queries.sessions import Listed
from identity.routes.auth import Password, Username
from identity.routes.client import QuietHours, UserOut

router = http.router("identity")


class NotificationsIn(Body):
    """What is left out stays. Unlike elsewhere in this call, `quiet_hours: null` changes something: it ends them."""

    reminders: bool | None = None
    quiet_hours: Annotated[QuietHours | None, Field(description="null: none from now on; left out: as they are")] = None


class MeIn(Body):
    """What is to change; what is left out, or null, stays. Only `notifications.quiet_hours` is set by null, to none."""

    username: Username | None = None
    timezone: Zone | None = None
    notifications: NotificationsIn | None = None


class SessionListedOut(BaseModel):
    """A session. `device` is what the browser or app said of itself, `ended_because` says `ended_reason` in words."""

    id: UUID
    current: Annotated[bool, Field(description="whether this call came through it")]
    device: str | None
    ip: str | None
    created_at: datetime
    last_seen_at: Annotated[datetime, Field(description="when its tokens were last refreshed")]
    ended_at: datetime | None
    ended_reason: (
        Literal["signed_out", "reuse", "password_changed", "second_factor_on", "account_deleted", "expired"] | None
    )
    ended_because: str | None

    @classmethod
    def of(cls, row: Listed, *, current: UUID) -> Self:
        return cls.model_validate(
            {
                **{name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)},
                "current": row.id == current,
                "device": row.user_agent,
                "ended_because": rules.ended_because(row.ended_reason) if row.ended_reason else None,
            }
        )


class ExportOut(BaseModel):
    """`size` in bytes. `url` downloads the ZIP without further credentials for ten minutes: ask again for a new one.
    `expires_at` is when the ZIP is deleted.
    """

    status: Literal["none", "building", "ready"]
    requested_at: datetime | None = None
    size: int | None = None
    url: str | None = None
    expires_at: datetime | None = None


class LeaveIn(Body):
    password: Password | None = None


class LeftOut(BaseModel):
    purged_on: Annotated[date, Field(description="from this day on everything is forgotten; sign in before to stay")]


@router.get("/v1/auth/me", operation_id="auth_me")
@router.get("/v1/me")
async def me(actor: CurrentActor, tx: UserTx) -> UserOut:
    """Who I am."""
    user = users.user(tx, actor.user_id)
    if user is None:  # the account is gone, the token not yet expired
        raise Unauthenticated
    return UserOut.of(user)


@router.patch("/v1/me")
async def change_me(body: MeIn, actor: CurrentActor) -> UserOut:
    """Change the username, the time zone, or what mails one wants.

    The zone is the default for challenges joined from now on, and those that went by the former one move with it: a
    window that has opened stays, later dates take the new zone, and none is won or lost. A challenge that was given a
    zone of its own (by joining with a `timezone`) stays there. POST /v1/me/timezone/preview says what would move.
    Quiet hours are of this zone, and hold at once: also for reminders of windows that are open, or planned already.
    """
    wanted = body.notifications or NotificationsIn()
    sets_quiet_hours = "quiet_hours" in wanted.model_fields_set
    now = clock.now()
    with db.as_user(actor, read_only=True) as tx:
        former = users.user(tx, actor.user_id)
    renamed = body.username is not None and (former is None or body.username != former.username)
    if body.username is not None and renamed:
        rules.check_username(body.username)
        ratelimit.take(now, actor, username_change=str(actor.user_id))
    if body.timezone is not None and (former is None or body.timezone != former.timezone):
        ratelimit.take(now, actor, timezone_change=str(actor.user_id))
    with db.as_account(actor, "PATCH /v1/me") as tx:
        if body.timezone is not None:
            people.move(tx, actor.user_id, body.timezone, now)
        user = users.change(
            tx,
            actor.user_id,
            username=body.username,
            timezone=body.timezone,
            wants_reminders=wanted.reminders,
            quiet_hours=(wanted.quiet_hours.begins, wanted.quiet_hours.ends) if wanted.quiet_hours else None,
            sets_quiet_hours=sets_quiet_hours,
            now=now,
        )
        if user is None:
            raise Unauthenticated
        if body.timezone is not None or sets_quiet_hours:
            people.reschedule(tx, user.id, now)
        if renamed:
            audit.record(tx, "username_changed", now, user_id=user.id)
    return UserOut.of(user)


@router.get("/v1/me/sessions")
async def list_sessions(actor: CurrentActor, tx: AccountTx, asked: PageParams) -> Page[SessionListedOut]:
    """Where I am signed in, and was: the live sessions first, then the newest. Ended ones are kept for 90 days."""
    offset = asked.offset if asked.position is None else _offset(asked.position)
    rows = sessions.listed(tx, actor.user_id, limit=asked.fetch, offset=offset, now=clock.now())
    items = [SessionListedOut.of(row, current=actor.session_id) for row in rows]
    return asked.page(rows, items, [str(offset + place) for place in range(1, len(rows) + 1)])


@router.delete("/v1/me/sessions/{session_id}", status_code=204)
async def end_session(session_id: UUID, actor: CurrentActor, tx: AccountTx, response: Response) -> None:
    """Sign a device out: at once, its access token too. Also 204 when it was already."""
    if not sessions.owned(tx, session_id, actor.user_id):
        raise NotFound
    now = clock.now()
    if sessions.end_session(tx, session_id, "signed_out", now):
        audit.record(tx, "session_ended", now, user_id=actor.user_id, ended=str(session_id))
    if session_id == actor.session_id:
        cookies.clear(response)


@router.post("/v1/me/export", status_code=202)
async def request_export(actor: CurrentActor) -> ExportOut:
    """Ask for a ZIP of everything held on me; a mail says when it is ready. While one is built that is the answer."""
    now = clock.now()
    with db.as_account(actor, "look for an export", read_only=True) as tx:
        found = exports.latest(tx, actor.user_id, now)
    if found is None or found.built_at is not None:
        ratelimit.take(now, actor, export=str(actor.user_id))
        with db.as_account(actor, "POST /v1/me/export") as tx:
            found = export.request(tx, actor.user_id, now)
    # None: another request of mine was quicker, in this very moment
    return ExportOut(status="building", requested_at=found.requested_at if found else now)


@router.get("/v1/me/export")
async def read_export(actor: CurrentActor) -> ExportOut:
    """How far the ZIP is, and where to fetch it."""
    now = clock.now()
    with db.as_account(actor, "GET /v1/me/export", read_only=True) as tx:  # its own: credentials may come by network
        found = exports.latest(tx, actor.user_id, now)
    if found is None:
        return ExportOut(status="none")
    if found.built_at is None:
        return ExportOut(status="building", requested_at=found.requested_at)
    settings = load(IdentitySettings)
    url = export.link(
        found,
        bucket=settings.uploads_bucket,
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        credentials=aws.credentials(),
        now=now,
    )
    return ExportOut(
        status="ready", requested_at=found.requested_at, size=found.size, url=url, expires_at=found.expires_at
    )


@router.delete("/v1/me", status_code=202)
async def leave(actor: CurrentActor, response: Response, body: LeaveIn | None = None) -> LeftOut:
    """Delete my account: signed out and hidden at once, everything forgotten after 30 days. Signing in before that
    takes it back.

    Send the password; without it, a sign-in must not be older than ten minutes. With an authenticator app it takes a
    second factor not older than that, and no password.
    """
    now = clock.now()
    password = body.password if body else None
    if password is not None:
        ratelimit.take(now, actor, password_check=str(actor.user_id))
    with db.as_account(actor, "DELETE /v1/me") as tx:  # its own: a wrong password is written down, though refused
        purged_on = deletion.request(tx, actor.user_id, password, now)
    if purged_on is None:
        raise rules.InvalidCredentials("This is not your password.")
    cookies.clear(response)
    return LeftOut(purged_on=purged_on)


def _offset(position: str) -> int:
    """Where a page of sessions begins: they have no order that an id could continue."""
    if not position.isdecimal() or len(position) > 7:
        raise bad_cursor()
    return int(position)
