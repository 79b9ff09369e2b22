"""HTTP of the user's own account: profile, sessions, export and deletion."""

from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.responses import Response

from chally import audit, aws, clock, cookies, db, http, ratelimit
from chally.body import Body
from chally.errors import NotFound, Unauthenticated
from chally.http import AccountTx, CurrentActor, UserTx
from chally.paging import Page, PageParams, invalid_cursor
from chally.settings import IdentitySettings, load
from chally.zones import Zone
from identity import deletion, export, rules
from identity.queries import exports, people, sessions, users
from identity.queries.sessions import SessionRow
from identity.routes.auth import Password, Username
from identity.routes.client import QuietHoursBody, UserOut

router = http.router("identity")


class NotificationsIn(Body):
    """Omitted fields are unchanged. `quiet_hours: null` removes the quiet hours."""

    reminders: bool | None = None
    quiet_hours: Annotated[
        QuietHoursBody | None, Field(description="Null removes them; omit the field to keep them.")
    ] = None


class MeIn(Body):
    """The fields to change. Omitted and null fields are unchanged, but `notifications.quiet_hours: null` removes the
    quiet hours.
    """

    username: Username | None = None
    timezone: Zone | None = None
    notifications: NotificationsIn | None = None


class SessionListedOut(BaseModel):
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


class ExportOut(BaseModel):
    """The state of the export. `size` is in bytes. `url` downloads the ZIP without further credentials for ten minutes;
    each GET returns a new one. The ZIP is deleted at `expires_at`.
    """

    status: Literal["none", "building", "ready"]
    requested_at: datetime | None = None
    size: int | None = None
    url: str | None = None
    expires_at: datetime | None = None


class LeaveIn(Body):
    password: Password | None = None


class LeftOut(BaseModel):
    purged_on: Annotated[date, Field(description="The account is purged on this day, unless you sign in before.")]


@router.get("/v1/auth/me", operation_id="auth_me")
@router.get("/v1/me")
async def me(actor: CurrentActor, tx: UserTx) -> UserOut:
    """Get my account."""
    user = users.user(tx, actor.user_id)
    if user is None:  # the account was purged before the token expired
        raise Unauthenticated
    return UserOut.of(user)


@router.patch("/v1/me")
async def change_me(body: MeIn, actor: CurrentActor) -> UserOut:
    """Change my username, time zone or notification preferences.

    The time zone is the default for challenges you join later. It also moves the challenges that use your account's
    zone: open windows stay as they are, later dates use the new zone, and no date is skipped or repeated. Challenges
    joined with a `timezone` keep it. POST /v1/me/timezone/preview shows what would move. Quiet hours use this time zone
    and take effect at once, including for reminders already planned.
    """
    wanted = body.notifications or NotificationsIn()
    sets_quiet_hours = "quiet_hours" in wanted.model_fields_set
    now = clock.now()
    with db.as_user(actor, read_only=True) as tx:
        former = users.user(tx, actor.user_id)
    renamed = body.username is not None and (former is None or body.username != former.username)
    if body.username is not None and renamed:
        rules.check_username(body.username)
        ratelimit.consume(now, actor, username_change=str(actor.user_id))
    if body.timezone is not None and (former is None or body.timezone != former.timezone):
        ratelimit.consume(now, actor, timezone_change=str(actor.user_id))
    with db.as_account(actor, "PATCH /v1/me") as tx:
        if body.timezone is not None:
            people.move(tx, actor.user_id, body.timezone, now)
        user = users.update(
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
    """List my sessions: live ones first, then newest first. Ended sessions are kept for 90 days."""
    offset = asked.offset if asked.position is None else _offset(asked.position)
    rows = sessions.list_page(tx, actor.user_id, limit=asked.fetch_limit, offset=offset, now=clock.now())
    items = [SessionListedOut.of(row, current=actor.session_id) for row in rows]
    return asked.page(rows, items, [str(offset + place) for place in range(1, len(rows) + 1)])


@router.delete("/v1/me/sessions/{session_id}", status_code=204)
async def end_session(session_id: UUID, actor: CurrentActor, tx: AccountTx, response: Response) -> None:
    """End a session and its access token at once. Returns 204 also if it had ended before."""
    if not sessions.belongs_to(tx, session_id, actor.user_id):
        raise NotFound
    now = clock.now()
    if sessions.end_session(tx, session_id, "signed_out", now):
        audit.record(tx, "session_ended", now, user_id=actor.user_id, ended=str(session_id))
    if session_id == actor.session_id:
        cookies.clear(response)


@router.post("/v1/me/export", status_code=202)
async def request_export(actor: CurrentActor) -> ExportOut:
    """Request a ZIP of all my data. A mail tells when it is ready. While one is being built, no other is started."""
    now = clock.now()
    with db.as_account(actor, "look for an export", read_only=True) as tx:
        found = exports.latest(tx, actor.user_id, now)
    if found is None or found.built_at is not None:
        ratelimit.consume(now, actor, export=str(actor.user_id))
        with db.as_account(actor, "POST /v1/me/export") as tx:
            found = export.request(tx, actor.user_id, now)
    # None if a concurrent request was faster
    return ExportOut(status="building", requested_at=found.requested_at if found else now)


@router.get("/v1/me/export")
async def read_export(actor: CurrentActor) -> ExportOut:
    """Get the state of my export, and a link to download it."""
    now = clock.now()
    with db.as_account(
        actor, "GET /v1/me/export", read_only=True
    ) as tx:  # not a dependency: credentials may come by network
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
    """Delete my account. You are signed out and hidden at once; the account is purged after 30 days. Signing in before
    then restores it.

    Send the password, or call within ten minutes of signing in. With an authenticator app, a second factor within the
    last ten minutes is required instead, and no password.
    """
    now = clock.now()
    password = body.password if body else None
    if password is not None:
        ratelimit.consume(now, actor, password_check=str(actor.user_id))
    with db.as_account(actor, "DELETE /v1/me") as tx:  # not a dependency: the audit row of a failure commits
        purged_on = deletion.request(tx, actor.user_id, password, now)
    if purged_on is None:
        raise rules.InvalidCredentials("The password is wrong.")
    cookies.clear(response)
    return LeftOut(purged_on=purged_on)


def _offset(position: str) -> int:
    """Parse the position of a page of sessions: an offset, because no id reflects their order."""
    if not position.isdecimal() or len(position) > 7:
        raise invalid_cursor()
    return int(position)
