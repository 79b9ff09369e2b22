"""The client that gets tokens, and the responses that carry them: in the body, or in cookies."""

from typing import Annotated, Literal

from fastapi import Depends, Header, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from chally import cookies
from chally.settings import IdentitySettings, load
from chally.text import visible_line
from identity import keyring, rules, sessions
from identity.profile import UserOut
from identity.sessions import TokenPair
from identity.sign_in import PendingSignIn


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
    notice: Annotated[str | None, Field(description="A sentence for the user, if there is something to know.")] = None


async def _client(
    request: Request, x_session_transport: Annotated[Literal["bearer", "cookie"], Header()] = "bearer"
) -> sessions.ClientInfo:
    agent = request.headers.get("user-agent", "")
    settings = load(IdentitySettings)
    return sessions.ClientInfo(
        user_agent=visible_line(agent)[:200] or None,
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
