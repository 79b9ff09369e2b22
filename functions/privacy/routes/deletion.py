"""HTTP of deleting the account."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, Field
from starlette.responses import Response

from chally import clock, cookies, db, http, ratelimit
from chally.body import Body
from chally.http import CurrentActor
from identity import rules
from identity.fields import Password
from privacy import deletion

router = http.router("privacy")


class DeletionIn(Body):
    password: Password | None = None


class DeletionOut(BaseModel):
    purged_on: Annotated[date, Field(description="The account is purged on this day, unless you sign in before.")]


@router.delete("/v1/me", summary="Delete my account", status_code=202)
async def delete_account(actor: CurrentActor, response: Response, body: DeletionIn | None = None) -> DeletionOut:
    """Delete my account. You are signed out and hidden at once; the account is purged after 30 days. Signing in before
    then restores it.

    Send the password, or call within ten minutes of signing in. With an authenticator app, a second factor within the
    last ten minutes is required instead, and no password.
    """
    now = clock.now()
    password = body.password if body else None
    if password is None:
        ratelimit.consume(now, actor, deletion=str(actor.user_id))
    else:
        ratelimit.consume(now, actor, deletion=str(actor.user_id), password_check=str(actor.user_id))
    with db.as_account(actor, "DELETE /v1/me") as tx:  # not a dependency: the audit row of a failure commits
        purged_on = deletion.request(tx, actor.user_id, password, now)
    if purged_on is None:
        raise rules.InvalidCredentials("The password is wrong.")
    cookies.clear(response)
    return DeletionOut(purged_on=purged_on)
