"""HTTP of signing up, in and out."""

from typing import Annotated

import email_validator
from fastapi import Request
from pydantic import BaseModel, EmailStr, Field
from starlette.responses import HTMLResponse, Response

from chally import clock, cookies, db, http, ratelimit
from chally.body import Body
from chally.http import ArrivedAt
from chally.ratelimit import network
from chally.settings import IdentitySettings, load
from chally.zones import Zone
from identity import lockout, pages, passwords, registration, rules, sessions, sign_in
from identity.queries import users
from identity.routes.client import Client, SessionOut, complete, hand_over

router = http.router("identity")

# Domains such as .test and .local receive no mail in the wild, so refusing them protects nobody; in a local system
# they are the addresses to use.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
# SES delivers to no other local parts; and Python and Postgres do not lower-case all letters alike.
email_validator.ALLOW_SMTPUTF8 = False

Token = Annotated[str, Field(min_length=1, max_length=200)]
Username = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{3,30}$", examples=["kari"])]
Address = Annotated[EmailStr, Field(max_length=254)]
Password = Annotated[str, Field(min_length=1, max_length=1000)]


class RegisterIn(Body):
    email: Address
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
    refresh_token: Token | None = Field(None, description="left out where the cookie carries it")


@router.post("/v1/auth/register", status_code=202)
async def register(body: RegisterIn, client: Client) -> RegisterOut:
    """Ask for an account. The answer is the same for every address; what follows comes by mail."""
    now = clock.now()
    rules.check_username(body.username)
    passwords.check(body.password, username=body.username, email=body.email)
    ratelimit.take(now, register_address=body.email.lower(), register_ip=network(client.ip))
    with db.as_system("register") as tx:
        registration.register(
            tx, email=body.email, username=body.username, password=body.password, timezone=body.timezone, now=now
        )
    return RegisterOut()


@router.get("/v1/auth/verify-email", response_class=HTMLResponse)
async def verify_email_page() -> HTMLResponse:
    """The page behind the mail's link. Opening it changes nothing; its button does."""
    return pages.confirm_address()


@router.post("/v1/auth/verify-email", response_model_exclude_unset=True)
async def verify_email(body: VerifyIn, client: Client, response: Response) -> SessionOut:
    """Confirm the address with the token of the mail, once, and sign in."""
    now = clock.now()
    ratelimit.take(now, token_ip=network(client.ip))
    with db.as_system("verify email") as tx:
        user = registration.confirm(tx, body.token, now)
        outcome = sign_in.proceed(tx, user, client, now, proof="registration")
    return complete(outcome, client, response)


@router.post("/v1/auth/login", response_model_exclude_unset=True)
async def login(body: LoginIn, client: Client, response: Response) -> SessionOut:
    """Sign in with a mail address or username, and a password."""
    now = clock.now()
    name = (normal_address(body.login) if "@" in body.login else body.login).lower()
    ratelimit.take(
        now,
        login_account_ip=f"{name} {network(client.ip)}",
        login_account=name,
        login_ip=network(client.ip),
    )
    with db.as_system("login") as tx:  # its own: a failure is counted, although the answer is an error
        account = users.account_by_email(tx, name) if "@" in name else users.account_by_username(tx, name)
        local = load(IdentitySettings).stage == "local"
        lockout.check(tx, name, account, ip=client.ip, trusts_ips=not local, now=now)
        matches = passwords.matches(
            account.password_hash if account else passwords.NOBODY,
            body.password,
            bcrypt_cost=users.bcrypt_cost(tx),
        )
        pending = registration.is_pending(tx, name, body.password, now)  # asked always: it takes time
        outcome = None
        if account is not None and matches:  # the password may be changing at this moment, which ends every session
            former, account = account.password_hash, users.lock_account(tx, account.id)
            matches = account is not None and (
                account.password_hash == former or passwords.matches(account.password_hash, body.password)
            )
        if account is not None and matches:
            lockout.lift(tx, account)
            if passwords.is_outdated(account.password_hash):
                users.set_password_hash(tx, account.id, passwords.make(body.password))
            outcome = sign_in.proceed(tx, account, client, now, proof="password")
        elif not pending:
            lockout.failed(tx, name, account, now)
    if outcome is None:
        raise rules.EmailUnverified if pending else rules.InvalidCredentials
    return complete(outcome, client, response)


@router.post("/v1/auth/refresh", response_model_exclude_unset=True)
async def refresh(
    request: Request, arrived: ArrivedAt, client: Client, response: Response, body: RefreshIn | None = None
) -> SessionOut:
    """The next pair of tokens for a refresh token. A token is good once; a copy that comes back ends its session."""
    now = clock.now()
    token, csrf_token = _refresh_token(request, body)
    ratelimit.take(now, refresh_ip=network(client.ip))
    with db.as_system("refresh") as tx:  # its own: ending a copied family commits, although the answer is an error
        session = sessions.refresh(tx, token, client, csrf_token=csrf_token, arrived=arrived, now=now)
    if session is None:
        raise rules.RefreshReused
    return hand_over(session, client, response)


@router.post("/v1/auth/logout", status_code=204)
async def logout(request: Request, client: Client, response: Response, body: RefreshIn | None = None) -> None:
    """Sign out of this session."""
    _sign_out(request, client, response, body, everywhere=False)


@router.post("/v1/auth/logout-all", status_code=204)
async def logout_all(request: Request, client: Client, response: Response, body: RefreshIn | None = None) -> None:
    """Sign out everywhere."""
    _sign_out(request, client, response, body, everywhere=True)


def _sign_out(
    request: Request, client: sessions.Client, response: Response, body: RefreshIn | None, *, everywhere: bool
) -> None:
    token, csrf_token = _refresh_token(request, body)
    now = clock.now()
    ratelimit.take(now, refresh_ip=network(client.ip))
    with db.as_system("logout") as tx:
        sessions.end(tx, token, client, csrf_token=csrf_token, everywhere=everywhere, now=now)
    cookies.clear(response)


def _refresh_token(request: Request, body: RefreshIn | None) -> tuple[str, str | None]:
    """The refresh token, and the CSRF token where a cookie carried it."""
    sent = body.refresh_token if body else None
    cookie = request.cookies.get(cookies.REFRESH)
    if cookie is not None and (sent is not None or "authorization" in request.headers):
        raise cookies.TwoCredentials
    if cookie is not None:
        return cookie, cookies.csrf_token(request)
    if sent is None:
        raise rules.RefreshInvalid
    return sent, None


def normal_address(login: str) -> str:
    """The address in the form that registering stored it in."""
    try:
        return email_validator.validate_email(login, check_deliverability=False).normalized
    except email_validator.EmailNotValidError:
        return login
