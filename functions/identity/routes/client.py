"""Who is handed tokens, and how: in the answer's body, or in cookies."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import Depends, Header, Request
from pydantic import BaseModel, Field, model_validator
from starlette.responses import Response

from chally import cookies
from chally.body import Body
from chally.settings import IdentitySettings, load
from identity import keyring, rules, sessions
from identity.queries.users import User
from identity.sessions import Session
from identity.sign_in import Pending

WallTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:00"])]


class QuietHours(Body):
    """When no reminder is to come, on the wall clock of the account's zone. `to` before `from` is on the next day."""

    begins: Annotated[WallTime, Field(alias="from")]
    ends: Annotated[WallTime, Field(alias="to")]

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.begins == self.ends:
            raise ValueError("Quiet hours end at another time than they begin. To have no mails, turn reminders off.")
        return self


class Notifications(BaseModel):
    """What mails a person wants."""

    reminders: bool = Field(description="a mail before a window closes that has no proof yet")
    quiet_hours: Annotated[
        QuietHours | None,
        Field(
            description="a reminder that would come within them comes when they end, if at least five minutes of the "
            "window are left then, else when they begin, if the window is open by then, else not at all"
        ),
    ]

    @classmethod
    def of(cls, user: User) -> Self:
        hours = None
        if user.quiet_from is not None and user.quiet_to is not None:
            hours = QuietHours.model_validate({"from": f"{user.quiet_from:%H:%M}", "to": f"{user.quiet_to:%H:%M}"})
        return cls(reminders=user.wants_reminders, quiet_hours=hours)


class UserOut(BaseModel):
    id: UUID
    username: str
    email: str
    email_verified: bool
    timezone: str
    role: Literal["user", "moderator", "admin"]
    notifications: Notifications
    created_at: datetime

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(
            id=user.id,
            username=user.username,
            email=user.email,
            email_verified=user.email_verified_at is not None,
            timezone=user.timezone,
            role=user.role,
            notifications=Notifications.of(user),
            created_at=user.created_at,
        )


class SessionOut(BaseModel):
    """A signed-in person's tokens. `expires_in` is the access token's life in seconds.

    With cookie transport the tokens are in cookies, and `csrf_token` is what the cookie __Host-csrf holds.
    """

    access_token: str | None = None
    refresh_token: str | None = None
    csrf_token: str | None = None
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme, no password
    expires_in: int
    user: UserOut


async def _client(
    request: Request, x_session_transport: Annotated[Literal["bearer", "cookie"], Header()] = "bearer"
) -> sessions.Client:
    agent = request.headers.get("user-agent")
    settings = load(IdentitySettings)
    return sessions.Client(
        user_agent=agent[:200] if agent else None,
        ip=request.client.host if request.client else None,
        cookies=x_session_transport == "cookie" or cookies.REFRESH in request.cookies,
        keyring=keyring.load(settings.signing_secret_arn),
        issuer=settings.public_url,
    )


# It asks Secrets Manager, so it comes before any transaction: none of those waits for a network.
Client = Annotated[sessions.Client, Depends(_client)]


def hand_over(session: Session, client: sessions.Client, response: Response) -> SessionOut:
    """The session as its client asked for it."""
    # what is not set is left out of the answer: the tokens are in the body or in cookies
    out = SessionOut(
        token_type="Bearer",  # noqa: S106 - a scheme, no password
        expires_in=int(rules.ACCESS_LIFE.total_seconds()),
        user=UserOut.of(session.user),
    )
    if session.csrf_token is None:
        return out.model_copy(update={"access_token": session.access_token, "refresh_token": session.refresh_token})
    cookies.put(response, cookies.ACCESS, session.access_token, rules.ACCESS_LIFE)
    cookies.put(response, cookies.REFRESH, session.refresh_token, rules.REFRESH_LIFE)
    cookies.put(response, cookies.CSRF, session.csrf_token, rules.REFRESH_LIFE)
    return out.model_copy(update={"csrf_token": session.csrf_token})


def complete(outcome: Session | Pending, client: sessions.Client, response: Response) -> SessionOut:
    """The answer to a sign-in, after its transaction. Raises `MfaRequired` where it waits for a second factor."""
    if isinstance(outcome, Pending):
        raise rules.MfaRequired(outcome.mfa_token, outcome.methods)
    return hand_over(outcome, client, response)
