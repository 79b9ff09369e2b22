"""HTTP of identity: registering, signing in, who am I."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

import email_validator
from fastapi import Depends, Request
from pydantic import BaseModel, EmailStr, Field
from starlette.responses import HTMLResponse

from chally import clock, db, http
from chally.body import Body
from chally.errors import Unauthenticated
from chally.http import Arrived, CurrentActor, SystemTx, UserTx
from chally.settings import IdentitySettings, load
from chally.zones import Zone
from identity import pages, passwords, queries, registration, rules, sessions, tokens

router = http.router("identity")

# Domains such as .test and .local receive no mail in the wild, so refusing them protects nobody; in a local system
# they are the addresses to use.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


async def _signer() -> tokens.Signer:
    return tokens.signer(load(IdentitySettings).signing_secret_arn)


async def _device(request: Request) -> sessions.Device:
    agent = request.headers.get("user-agent")
    return sessions.Device(agent[:200] if agent else None, request.client.host if request.client else None)


# Named before the transaction in every signature: it asks Secrets Manager, and no transaction waits for a network.
Signer = Annotated[tokens.Signer, Depends(_signer)]
Device = Annotated[sessions.Device, Depends(_device)]
Token = Annotated[str, Field(min_length=1, max_length=200)]
Username = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{3,30}$", examples=["kari"])]
Password = Annotated[str, Field(min_length=1, max_length=1000)]


class RegisterIn(Body):
    email: Annotated[EmailStr, Field(max_length=254)]
    username: Username
    password: Password
    timezone: Zone


class RegisterOut(BaseModel):
    """The same for every address."""

    detail: str = "We have sent you a mail. Follow its link to confirm your address; it is good for 15 minutes."


class VerifyIn(Body):
    token: Token


class LoginIn(Body):
    login: Annotated[str, Field(min_length=1, max_length=254, description="mail address or username")]
    password: Password


class RefreshIn(Body):
    refresh_token: Token


class UserOut(BaseModel):
    id: UUID
    username: str
    email: str
    email_verified: bool
    timezone: str
    role: Literal["user", "moderator", "admin"]
    created_at: datetime

    @classmethod
    def of(cls, user: queries.User) -> Self:
        return cls(
            id=user.id,
            username=user.username,
            email=user.email,
            email_verified=user.email_verified_at is not None,
            timezone=user.timezone,
            role=user.role,
            created_at=user.created_at,
        )


class SessionOut(BaseModel):
    """A signed-in person's tokens. `expires_in` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a scheme, no password
    expires_in: int
    user: UserOut

    @classmethod
    def of(cls, session: sessions.Session) -> Self:
        return cls(
            access_token=session.access_token,
            refresh_token=session.refresh_token,
            expires_in=int(rules.ACCESS_LIFE.total_seconds()),
            user=UserOut.of(session.user),
        )


@router.post("/v1/auth/register", status_code=202)
async def register(body: RegisterIn, tx: SystemTx) -> RegisterOut:
    """Ask for an account. The answer is the same for every address; what follows comes by mail."""
    password = rules.normalise(body.password)
    rules.check_password(password, username=body.username, email=body.email)
    registration.register(
        tx, email=body.email, username=body.username, password=password, timezone=body.timezone, now=clock.now()
    )
    return RegisterOut()


@router.get("/v1/auth/verify-email", response_class=HTMLResponse)
async def verify_email_page() -> HTMLResponse:
    """The page behind the mail's link. Opening it changes nothing; its button does."""
    return pages.confirm_address()


@router.post("/v1/auth/verify-email")
async def verify_email(body: VerifyIn, device: Device, signer: Signer, tx: SystemTx) -> SessionOut:
    """Confirm the address with the token of the mail, once, and sign in."""
    now = clock.now()
    user = registration.confirm(tx, body.token, now)
    issuer = load(IdentitySettings).public_url
    return SessionOut.of(sessions.start(tx, user, device=device, signer=signer, issuer=issuer, now=now))


@router.post("/v1/auth/login")
async def login(body: LoginIn, device: Device, signer: Signer, tx: SystemTx) -> SessionOut:
    """Sign in with a mail address or username, and a password."""
    now = clock.now()
    if "@" in body.login:
        account = queries.account_by_email(tx, _normal_address(body.login))
    else:
        account = queries.account_by_username(tx, body.login)
    password = rules.normalise(body.password)
    matches = passwords.matches(account.password_hash if account else passwords.NOBODY, password)
    pending = registration.is_pending(tx, body.login, password, now)  # asked always: it takes time
    if account is None or not matches:
        raise rules.EmailUnverified if pending else rules.InvalidCredentials
    if passwords.is_outdated(account.password_hash):
        queries.set_password_hash(tx, account.id, passwords.make(password))
    issuer = load(IdentitySettings).public_url
    return SessionOut.of(sessions.start(tx, account, device=device, signer=signer, issuer=issuer, now=now))


@router.post("/v1/auth/refresh")
async def refresh(body: RefreshIn, arrived: Arrived, signer: Signer) -> SessionOut:
    """The next pair of tokens for a refresh token. A token is good once; a copy that comes back ends its session."""
    issuer = load(IdentitySettings).public_url
    with db.as_system("refresh") as tx:  # its own: ending a copied family commits, although the answer is an error
        session = sessions.refresh(
            tx, body.refresh_token, signer=signer, issuer=issuer, arrived=arrived, now=clock.now()
        )
    if session is None:
        raise rules.RefreshReused
    return SessionOut.of(session)


@router.get("/v1/auth/me", operation_id="auth_me")
@router.get("/v1/me")
async def me(actor: CurrentActor, tx: UserTx) -> UserOut:
    """Who I am."""
    user = queries.user(tx, actor.user_id)
    if user is None:  # the account is gone, the token not yet expired
        raise Unauthenticated
    return UserOut.of(user)


def _normal_address(login: str) -> str:
    """The address in the form that registering stored it in."""
    try:
        return email_validator.validate_email(login, check_deliverability=False).normalized
    except email_validator.EmailNotValidError:
        return login


handler = http.lambda_handler(router, queries.CONSTRAINTS)
