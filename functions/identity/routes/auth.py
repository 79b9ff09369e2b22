"""HTTP of registering, signing in and signing out."""

from datetime import datetime
from typing import Annotated

from fastapi import Request
from fastapi.security import HTTPAuthorizationCredentials
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, Response

from chally import clock, cookies, db, http, ratelimit
from chally.actor import Actor
from chally.body import Body
from chally.errors import RateLimited, Unauthenticated
from chally.http import ArrivedAt
from chally.ratelimit import network
from chally.settings import IdentitySettings, load
from chally.zones import Zone
from identity import addresses, lockout, pages, passwords, registration, rules, sessions, sign_in, usernames
from identity.fields import Address, Login, Password, Token, Username
from identity.queries import users
from identity.routes.client import CurrentClient, SessionOut, session_response, sign_in_response

router = http.router("identity")


class RegisterIn(Body):
    email: Address
    username: Username
    password: Password
    timezone: Zone


class RegisterOut(BaseModel):
    """The response is the same for every address."""

    detail: str = "We have sent you an email. Follow its link within 15 minutes to confirm your address."


class VerifyIn(Body):
    token: Token


class LoginIn(Body):
    login: Annotated[Login, Field(description="Email address or username.")]
    password: Password


CONTESTED = (
    "You are signed in, but no password is set: your address was registered more than once, with different passwords."
    " We have sent you an email with a link for setting one."
)


class RefreshIn(Body):
    refresh_token: Token | None = Field(None, description="Omit it if the cookie carries the token.")


@router.post("/v1/auth/register", summary="Register", status_code=202)
async def register(body: RegisterIn, client: CurrentClient) -> RegisterOut:
    """Register an account. The response is the same for every address; the mail tells how to continue."""
    now = clock.now()
    usernames.check(body.username, now)
    passwords.check(body.password, username=body.username, email=body.email)
    ratelimit.consume(now, register_address=body.email.lower(), register_ip=network(client.ip))
    with db.as_system("register") as tx:
        registration.register(
            tx, email=body.email, username=body.username, password=body.password, timezone=body.timezone, now=now
        )
    return RegisterOut()


@router.get("/v1/auth/verify-email", summary="Page: confirm the address", response_class=HTMLResponse)
async def confirm_address_page() -> HTMLResponse:
    """The page behind the link in the mail. Opening it changes nothing; its button confirms the address."""
    return pages.confirm_address()


@router.post("/v1/auth/verify-email", summary="Confirm the address", response_model_exclude_unset=True)
async def confirm_address(body: VerifyIn, client: CurrentClient, response: Response) -> SessionOut:
    """Confirm the address with the token from the mail, and sign in. The token is single-use.

    If the address was registered more than once within 15 minutes, with different passwords, none of them counts:
    `notice` says so, and a mail has a link for setting one.
    """
    now = clock.now()
    ratelimit.consume(now, token_ip=network(client.ip))
    with db.as_system("verify email") as tx:
        confirmed = registration.confirm(tx, body.token, now)
        outcome = sign_in.proceed(tx, confirmed.user, client, now, method="registration")
    session = sign_in_response(outcome, client, response)
    return session if confirmed.has_password else session.model_copy(update={"notice": CONTESTED})


@router.post("/v1/auth/login", summary="Sign in with a password", response_model_exclude_unset=True)
async def sign_in_by_password(body: LoginIn, client: CurrentClient, response: Response) -> SessionOut:
    """Sign in with an email address or username, and a password."""
    now = clock.now()
    name = addresses.normalise_login(body.login)
    _limit_login(name, client.ip, now)
    with db.as_system("login") as tx:  # not a dependency: a counted failure commits although the response is an error
        account = users.find_account(tx, name)
        lockout.check(tx, name, account, ip=client.ip, trusts_ips=_trusts_ips(), now=now)
        matches = passwords.matches(
            account.password_hash if account else passwords.DUMMY_HASH,
            body.password,
            bcrypt_cost=users.bcrypt_cost(tx),
        )
        pending = registration.is_pending(tx, name, body.password, now)  # always: equal timing
        outcome = None
        if account is not None and matches:  # a concurrent change of the password ends every session: check again
            former, account = account.password_hash, users.lock_account(tx, account.id)
            matches = account is not None and (
                account.password_hash == former or passwords.matches(account.password_hash, body.password)
            )
        if account is not None and matches:
            lockout.clear(tx, account)
            if passwords.is_outdated(account.password_hash):
                users.set_password_hash(tx, account.id, passwords.make_hash(body.password))
            outcome = sign_in.proceed(tx, account, client, now, method="password")
        elif not pending:
            lockout.record_failure(tx, name, account, now)
    if outcome is None:
        raise rules.EmailUnverified if pending else rules.InvalidCredentials
    return sign_in_response(outcome, client, response)


def _limit_login(name: str, ip: str | None, now: datetime) -> None:
    """Count a login. Guessing from anywhere uses up the limit of the account, but not where its owner was recently."""
    here = network(ip)
    try:
        ratelimit.consume(now, login_account_ip=f"{name} {here}", login_ip=here, login_account=name)
    except RateLimited:
        if not _trusts_ips():
            raise
        with db.as_system("look for a known network", read_only=True) as tx:
            account = users.find_account(tx, name)
            known = lockout.is_known(tx, account, ip, now)
        if not known:
            raise
        ratelimit.consume(now, login_account_ip=f"{name} {here}", login_ip=here)


def _trusts_ips() -> bool:
    stage: str = load(IdentitySettings).stage
    return stage != "local"  # there every client is 127.0.0.1


@router.post("/v1/auth/refresh", summary="Refresh a session", response_model_exclude_unset=True)
async def refresh_session(
    request: Request, arrived: ArrivedAt, client: CurrentClient, response: Response, body: RefreshIn | None = None
) -> SessionOut:
    """Exchange a refresh token for the next pair of tokens. It is single-use; reusing an old one ends the session."""
    now = clock.now()
    token, csrf_token = _refresh_token(request, body)
    ratelimit.consume(now, refresh_ip=network(client.ip))
    with db.as_system("refresh") as tx:  # not a dependency: ending a session commits although the response is an error
        session = sessions.refresh(tx, token, client, csrf_token=csrf_token, arrived=arrived, now=now)
    if session is None:
        raise rules.RefreshReused
    return session_response(session, client, response)


@router.post("/v1/auth/logout", summary="Sign out", status_code=204)
async def sign_out(request: Request, client: CurrentClient, response: Response, body: RefreshIn | None = None) -> None:
    """End the session of the refresh token, and that of the access token if there is one."""
    _sign_out(request, client, response, body, everywhere=False)


@router.post("/v1/auth/logout-all", summary="Sign out everywhere", status_code=204)
async def sign_out_everywhere(
    request: Request, client: CurrentClient, response: Response, body: RefreshIn | None = None
) -> None:
    """End all sessions of the account. An access token is enough."""
    _sign_out(request, client, response, body, everywhere=True)


def _sign_out(
    request: Request, client: sessions.ClientInfo, response: Response, body: RefreshIn | None, *, everywhere: bool
) -> None:
    now = clock.now()
    ratelimit.consume(now, refresh_ip=network(client.ip))
    by = _bearer(request)
    sent = body.refresh_token if body else None
    token, csrf_token = (sent, None) if by is not None else _refresh_token(request, body)
    with db.as_system("logout") as tx:
        if by is not None:
            sessions.end_of_actor(tx, by, everywhere=everywhere, now=now)
        known = token is not None and sessions.end(
            tx, token, client, csrf_token=csrf_token, everywhere=everywhere, now=now
        )
    if by is None and not known and "authorization" in request.headers:
        raise Unauthenticated  # nothing was ended: a client must not take this for a success
    cookies.clear(response)


def _bearer(request: Request) -> Actor | None:
    """The caller by their access token; None without a valid one, since people may sign out after it has expired."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or cookies.REFRESH in request.cookies:
        return None
    try:
        return http.actor(request, HTTPAuthorizationCredentials(scheme=scheme, credentials=token.strip()))
    except Unauthenticated:
        return None


def _refresh_token(request: Request, body: RefreshIn | None) -> tuple[str, str | None]:
    """Return the refresh token and, if a cookie carries it, the CSRF token."""
    sent = body.refresh_token if body else None
    cookie = request.cookies.get(cookies.REFRESH)
    if cookie is not None and (sent is not None or "authorization" in request.headers):
        raise cookies.AmbiguousCredentials
    if cookie is not None:
        return cookie, cookies.csrf_token(request)
    if sent is None:
        raise rules.RefreshInvalid
    return sent, None
