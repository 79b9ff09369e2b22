"""HTTP of the link in reminders that switches them off."""

from typing import Annotated

from fastapi import Depends, Query, Request
from starlette.responses import HTMLResponse

from chally import clock, db, http, ratelimit, secrets
from chally.settings import PrivacySettings, load
from identity import profile
from notifications import unsubscribe
from notifications.unsubscribe import Subscription
from privacy import pages

router = http.router("privacy")


async def _subscription(
    request: Request,
    # no bound on its length: a refusal would not be a page
    token: Annotated[str, Query(description="The token of the link in the mail.")] = "",
) -> Subscription | None:
    """The subscription that the link names. Only wrong links are limited: mail providers follow many from one address.

    A key that was replaced still counts until it is replaced again. Reading it is a call to Secrets Manager, so a wrong
    token is charged first.
    """
    secret_arn = load(PrivacySettings).unsubscribe_secret_arn
    found = unsubscribe.read_token(token, [secrets.read(secret_arn).encode()])
    if found is None:
        ip = ratelimit.network(request.client.host if request.client else None)
        ratelimit.consume(clock.now(), token_ip=ip)
        found = unsubscribe.read_token(token, (version.encode() for version in secrets.read_versions(secret_arn)))
    return found


FromLink = Annotated[Subscription | None, Depends(_subscription)]


@router.get(unsubscribe.PATH, summary="Page: switch off reminders", response_class=HTMLResponse)
async def unsubscribe_page(subscription: FromLink) -> HTMLResponse:
    """The page behind the link in reminders. Opening it changes nothing; its button switches reminders off."""
    return pages.ask(subscription.kind) if subscription else pages.refuse(200)


@router.post(unsubscribe.PATH, summary="Switch off reminders by link", response_class=HTMLResponse)
async def unsubscribe_by_link(subscription: FromLink) -> HTMLResponse:
    """Switch off reminders with the token from the mail, without signing in. Mail programs do the same with one click
    (RFC 8058): the body is ignored. It is safe to repeat.
    """
    if subscription is None:
        return pages.refuse(400)
    with db.as_system("unsubscribe by link") as tx:
        profile.stop_reminders(tx, subscription.user_id, clock.now())
    return pages.confirm(subscription.kind)
