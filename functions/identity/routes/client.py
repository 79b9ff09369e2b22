"""The client that gets tokens, and the responses that carry them: in the body, or in cookies."""

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
from identity.sessions import TokenPair
from identity.sign_in import PendingSignIn

TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:00"])]


class QuietHoursBody(Body):
    """Hours without reminders, in the account's time zone. A `to` before `from` is on the next day."""

    begins: Annotated[TimeOfDay, Field(alias="from")]
    ends: Annotated[TimeOfDay, Field(alias="to")]

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.begins == self.ends:
            raise ValueError(
                "Quiet hours must not begin and end at the same time. To stop the mails, turn reminders off."
            )
        return self


class NotificationPreferences(BaseModel):
    """The mails that the user wants."""

    reminders: bool = Field(description="Send a mail before a window closes without a proof.")
    quiet_hours: Annotated[
        QuietHoursBody | None,
        Field(
            description="A reminder due in quiet hours is sent when they end, if the window is then still open for at "
            "least five minutes. Otherwise it is sent when they begin, if the window is open by then, or not at all."
        ),
    ]

    @classmethod
    def of(cls, user: User) -> Self:
        hours = None
        if user.quiet_from is not None and user.quiet_to is not None:
            hours = QuietHoursBody.model_validate({"from": f"{user.quiet_from:%H:%M}", "to": f"{user.quiet_to:%H:%M}"})
        return cls(reminders=user.wants_reminders, quiet_hours=hours)


class UserOut(BaseModel):
    id: UUID
    username: str
    email: str
    email_verified: bool
    timezone: str
    role: Literal["user", "moderator", "admin"]
    notifications: NotificationPreferences
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
            notifications=NotificationPreferences.of(user),
            created_at=user.created_at,
        )


class SessionOut(BaseModel):
    """The tokens of a session. `expires_in` is the lifetime of the access token in seconds.

    With cookie transport the tokens are in cookies, and `csrf_token` is the value of the cookie __Host-csrf.
    """

    access_token: str | None = None
    refresh_token: str | None = None
    csrf_token: str | None = None
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme, no password
    expires_in: int
    user: UserOut


async def _client(
    request: Request, x_session_transport: Annotated[Literal["bearer", "cookie"], Header()] = "bearer"
) -> sessions.ClientInfo:
    agent = request.headers.get("user-agent")
    settings = load(IdentitySettings)
    return sessions.ClientInfo(
        user_agent=agent[:200] if agent else None,
        ip=request.client.host if request.client else None,
        cookies=x_session_transport == "cookie" or cookies.REFRESH in request.cookies,
        keyring=keyring.load(settings.signing_secret_arn),
        issuer=settings.public_url,
    )


# May call Secrets Manager, so it is resolved before a transaction begins.
CurrentClient = Annotated[sessions.ClientInfo, Depends(_client)]


def session_response(session: TokenPair, client: sessions.ClientInfo, response: Response) -> SessionOut:
    """Return the tokens in the transport that the client requested."""
    # unset fields are left out of the response: the tokens are either in the body or in cookies
    out = SessionOut(
        token_type="Bearer",  # noqa: S106 - a scheme, no password
        expires_in=int(rules.ACCESS_LIFE.total_seconds()),
        user=UserOut.of(session.user),
    )
    if session.csrf_token is None:
        return out.model_copy(update={"access_token": session.access_token, "refresh_token": session.refresh_token})
    cookies.set_cookie(response, cookies.ACCESS, session.access_token, rules.ACCESS_LIFE)
    cookies.set_cookie(response, cookies.REFRESH, session.refresh_token, rules.REFRESH_LIFE)
    cookies.set_cookie(response, cookies.CSRF, session.csrf_token, rules.REFRESH_LIFE)
    return out.model_copy(update={"csrf_token": session.csrf_token})


def sign_in_response(outcome: TokenPair | PendingSignIn, client: sessions.ClientInfo, response: Response) -> SessionOut:
    """Return the response to a sign-in, after its transaction. Raises `MfaRequired` if a second factor is missing."""
    if isinstance(outcome, PendingSignIn):
        raise rules.MfaRequired(outcome.mfa_token, outcome.methods)
    return session_response(outcome, client, response)
