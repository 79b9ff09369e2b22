"""HTTP of links in mails (sign-in, password reset, address change, unlock), and of changing password and address."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.responses import HTMLResponse, Response

from chally import audit, clock, db, http, ratelimit
from chally.body import Body
from chally.http import CurrentActor
from chally.ratelimit import network
from identity import credentials, links, lockout, pages, rules, sign_in
from identity.fields import Address, Password, Token
from identity.routes.client import CurrentClient, SessionOut, sign_in_response

router = http.router("identity")


async def _ip(request: Request) -> str:
    return network(request.client.host if request.client else None)


Ip = Annotated[str, Depends(_ip)]


class AddressIn(Body):
    email: Address


class TokenIn(Body):
    token: Token


class ResetIn(Body):
    token: Token
    password: Password


class PasswordIn(Body):
    current_password: Password
    new: Password


class EmailIn(Body):
    current_password: Password
    new: Address


class LinkSentOut(BaseModel):
    """The response is the same for every address."""

    detail: str = "If an account has this address, we have sent it an email with a link that is valid for 15 minutes."


@router.post("/v1/auth/magic-link", summary="Request a sign-in link", status_code=202)
async def request_magic_link(body: AddressIn, ip: Ip) -> LinkSentOut:
    """Request an email with a sign-in link. The response is the same for every address."""
    now = clock.now()
    ratelimit.consume(now, magic_link_address=body.email.lower(), magic_link_ip=ip)
    with db.as_system("magic link") as tx:
        links.request(tx, "magic_link", body.email, now)
    return LinkSentOut()


@router.get("/v1/auth/magic-link/verify", summary="Page: sign in by link", response_class=HTMLResponse)
async def sign_in_by_link_page() -> HTMLResponse:
    """The page behind the link in the mail. Opening it changes nothing; its button signs in."""
    return pages.sign_in()


@router.post("/v1/auth/magic-link/verify", summary="Sign in by link", response_model_exclude_unset=True)
async def sign_in_by_link(body: TokenIn, client: CurrentClient, response: Response) -> SessionOut:
    """Sign in with the token from the mail. It is single-use, and also ends a wait after wrong passwords."""
    now = clock.now()
    ratelimit.consume(now, token_ip=network(client.ip))
    with db.as_system("follow magic link") as tx:  # not a dependency: the used link commits even if MFA is required
        account = links.consume_for_account(tx, "magic_link", body.token, now)
        lockout.unlock(tx, account)
        outcome = sign_in.proceed(tx, account, client, now, method="magic_link")
    return sign_in_response(outcome, client, response)


@router.get("/v1/auth/password/forgot", summary="Page: forgotten password", response_class=HTMLResponse)
async def forgot_password_page() -> HTMLResponse:
    """A page to request the mail from. Security notices link here, so that no app is needed."""
    return pages.forgotten_password()


@router.post("/v1/auth/password/forgot", summary="Request a password reset", status_code=202)
async def request_password_reset(body: AddressIn, ip: Ip) -> LinkSentOut:
    """Request an email with a link for setting a new password. The response is the same for every address."""
    now = clock.now()
    ratelimit.consume(now, password_reset_address=body.email.lower(), password_reset_ip=ip)
    with db.as_system("forgot password") as tx:
        links.request(tx, "password_reset", body.email, now)
    return LinkSentOut()


@router.get("/v1/auth/password/reset", summary="Page: reset the password", response_class=HTMLResponse)
async def reset_password_page() -> HTMLResponse:
    """The page behind the link in the mail. Opening it changes nothing; its button sets the password."""
    return pages.new_password()


@router.post("/v1/auth/password/reset", summary="Reset the password", status_code=204)
async def reset_password(body: ResetIn, ip: Ip) -> None:
    """Set a new password with the token from the mail, and end every session. If the password is too weak, the token
    stays valid.
    """
    now = clock.now()
    ratelimit.consume(now, token_ip=ip)
    with db.as_system("reset password") as tx:
        account = links.consume_for_account(tx, "password_reset", body.token, now)
        credentials.set_password(tx, account, body.password, now, pointer="/password", keep=None)


@router.get("/v1/auth/email/confirm", summary="Page: confirm a new address", response_class=HTMLResponse)
async def confirm_new_address_page() -> HTMLResponse:
    """The page behind the link in the mail. Opening it changes nothing; its button confirms the new address."""
    return pages.confirm_change()


@router.post("/v1/auth/email/confirm", summary="Confirm a new address", status_code=204)
async def confirm_new_address(body: TokenIn, ip: Ip) -> None:
    """Change the account's address to the one that the token was mailed to. The token is single-use."""
    now = clock.now()
    ratelimit.consume(now, token_ip=ip)
    with db.as_system("confirm email") as tx:
        credentials.confirm_email_change(tx, body.token, now)


@router.get("/v1/auth/unlock", summary="Page: unlock sign-in", response_class=HTMLResponse)
async def unlock_sign_in_page() -> HTMLResponse:
    """The page behind the link in the mail. Opening it changes nothing; its button ends the wait."""
    return pages.unlock()


@router.post("/v1/auth/unlock", summary="Unlock sign-in", status_code=204)
async def unlock_sign_in(body: TokenIn, ip: Ip) -> None:
    """End a wait after wrong passwords with the token from the mail. The token is single-use."""
    now = clock.now()
    ratelimit.consume(now, token_ip=ip)
    with db.as_system("unlock") as tx:
        account = links.consume_for_account(tx, "unlock", body.token, now)
        lockout.unlock(tx, account)
        audit.record(tx, "lockout_lifted", now, user_id=account.id)


@router.post("/v1/me/password", summary="Change the password", status_code=204)
async def change_password(body: PasswordIn, actor: CurrentActor) -> None:
    """Change the password. Every other session ends."""
    now = clock.now()
    ratelimit.consume(now, actor, password_check=str(actor.user_id))
    with db.as_account(actor, "change password") as tx:  # not a dependency: see login
        credentials.check_factor(tx, actor.user_id)
        account = credentials.check_current_password(tx, actor.user_id, body.current_password, now)
        if account is not None:
            credentials.set_password(tx, account, body.new, now, pointer="/new", keep=actor.session_id)
    if account is None:
        raise rules.InvalidCredentials("The current password is wrong.")


@router.post("/v1/me/email", summary="Change the address", status_code=204)
async def change_address(body: EmailIn, actor: CurrentActor) -> None:
    """Request a change of address. It takes effect when the link in the mail to the new address is followed.

    The response is the same whether or not another account has the address.
    """
    now = clock.now()
    ratelimit.consume(now, actor, password_check=str(actor.user_id), email_change=str(actor.user_id))
    with db.as_account(actor, "change email") as tx:  # not a dependency: see login
        credentials.check_factor(tx, actor.user_id)
        account = credentials.check_current_password(tx, actor.user_id, body.current_password, now)
        if account is not None:
            credentials.request_email_change(tx, account, body.new, now)
    if account is None:
        raise rules.InvalidCredentials("The current password is wrong.")
