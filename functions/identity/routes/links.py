"""HTTP of the links in mails: signing in, a new password, another address; and of changing those when signed in."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.responses import HTMLResponse, Response

from chally import audit, clock, db, http, ratelimit
from chally.body import Body
from chally.http import CurrentActor
from chally.ratelimit import network
from identity import credentials, links, lockout, pages, rules, sign_in
from identity.routes.auth import Address, Password, Token
from identity.routes.client import Client, SessionOut, complete

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
    """The same for every address."""

    detail: str = "If there is an account with this address, we have sent it a mail. Its link is good for 15 minutes."


@router.post("/v1/auth/magic-link", status_code=202)
async def magic_link(body: AddressIn, ip: Ip) -> LinkSentOut:
    """Ask for a mail with a link that signs in. The answer is the same for every address."""
    now = clock.now()
    ratelimit.take(now, magic_link_address=body.email.lower(), magic_link_ip=ip)
    with db.as_system("magic link") as tx:
        links.request(tx, "magic_link", body.email, now)
    return LinkSentOut()


@router.get("/v1/auth/magic-link/verify", response_class=HTMLResponse)
async def follow_magic_link_page() -> HTMLResponse:
    """The page behind the mail's link. Opening it changes nothing; its button does."""
    return pages.sign_in()


@router.post("/v1/auth/magic-link/verify", response_model_exclude_unset=True)
async def follow_magic_link(body: TokenIn, client: Client, response: Response) -> SessionOut:
    """Sign in with the token of the mail, once. It ends a wait that wrong passwords brought about, too."""
    now = clock.now()
    ratelimit.take(now, token_ip=network(client.ip))
    with db.as_system("follow magic link") as tx:  # its own: the link is used up, although a second factor is asked for
        account = links.follow(tx, "magic_link", body.token, now)
        lockout.release(tx, account)
        outcome = sign_in.proceed(tx, account, client, now, proof="magic_link")
    return complete(outcome, client, response)


@router.get("/v1/auth/password/forgot", response_class=HTMLResponse)
async def forgot_password_page() -> HTMLResponse:
    """A page that asks for the mail: for who has no app at hand, and nothing but a notice of ours."""
    return pages.forgotten_password()


@router.post("/v1/auth/password/forgot", status_code=202)
async def forgot_password(body: AddressIn, ip: Ip) -> LinkSentOut:
    """Ask for a mail with a link to set a new password. The answer is the same for every address."""
    now = clock.now()
    ratelimit.take(now, password_reset_address=body.email.lower(), password_reset_ip=ip)
    with db.as_system("forgot password") as tx:
        links.request(tx, "password_reset", body.email, now)
    return LinkSentOut()


@router.get("/v1/auth/password/reset", response_class=HTMLResponse)
async def reset_password_page() -> HTMLResponse:
    """The page behind the mail's link. Opening it changes nothing; its button does."""
    return pages.new_password()


@router.post("/v1/auth/password/reset", status_code=204)
async def reset_password(body: ResetIn, ip: Ip) -> None:
    """Set a new password with the token of the mail, once. Every session ends. After a weak one the link stays good."""
    now = clock.now()
    ratelimit.take(now, token_ip=ip)
    with db.as_system("reset password") as tx:
        account = links.follow(tx, "password_reset", body.token, now)
        credentials.set_password(tx, account, body.password, now, pointer="/password", keep=None)


@router.get("/v1/auth/email/confirm", response_class=HTMLResponse)
async def confirm_email_page() -> HTMLResponse:
    """The page behind the mail's link. Opening it changes nothing; its button does."""
    return pages.confirm_change()


@router.post("/v1/auth/email/confirm", status_code=204)
async def confirm_email(body: TokenIn, ip: Ip) -> None:
    """Make the address that the token was mailed to the account's, once."""
    now = clock.now()
    ratelimit.take(now, token_ip=ip)
    with db.as_system("confirm email") as tx:
        credentials.confirm_address(tx, body.token, now)


@router.get("/v1/auth/unlock", response_class=HTMLResponse)
async def unlock_page() -> HTMLResponse:
    """The page behind the mail's link. Opening it changes nothing; its button does."""
    return pages.unlock()


@router.post("/v1/auth/unlock", status_code=204)
async def unlock(body: TokenIn, ip: Ip) -> None:
    """End a wait that wrong passwords brought about, with the token of the mail, once."""
    now = clock.now()
    ratelimit.take(now, token_ip=ip)
    with db.as_system("unlock") as tx:
        account = links.follow(tx, "unlock", body.token, now)
        lockout.release(tx, account)
        audit.record(tx, "lockout_lifted", now, user_id=account.id)


@router.post("/v1/me/password", status_code=204)
async def change_password(body: PasswordIn, actor: CurrentActor) -> None:
    """Set another password. Every other session ends."""
    now = clock.now()
    ratelimit.take(now, actor, password_check=str(actor.user_id))
    with db.as_account(actor, "change password") as tx:  # its own: a wrong one is written down, and the answer an error
        credentials.check_factor(tx, actor.user_id)
        account = credentials.prove(tx, actor.user_id, body.current_password, now)
        if account is not None:
            credentials.set_password(tx, account, body.new, now, pointer="/new", keep=actor.session_id)
    if account is None:
        raise rules.InvalidCredentials("This is not your current password.")


@router.post("/v1/me/email", status_code=204)
async def change_email(body: EmailIn, actor: CurrentActor) -> None:
    """Ask for another address: it becomes the account's when the link in the mail to it is followed.

    The answer is the same whether or not another account has the address.
    """
    now = clock.now()
    ratelimit.take(now, actor, password_check=str(actor.user_id), email_change=str(actor.user_id))
    with db.as_account(actor, "change email") as tx:  # its own, as above
        credentials.check_factor(tx, actor.user_id)
        account = credentials.prove(tx, actor.user_id, body.current_password, now)
        if account is not None:
            credentials.ask_address(tx, account, body.new, now)
    if account is None:
        raise rules.InvalidCredentials("This is not your current password.")
