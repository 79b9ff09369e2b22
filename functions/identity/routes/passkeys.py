"""HTTP of passkeys (WebAuthn): managing them, and signing in with one."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from chally import clock, db, http, limits, ratelimit
from chally.actor import check_fresh
from chally.body import Body
from chally.errors import AppError, NotFound, Unauthenticated
from chally.http import AccountTx, CurrentActor
from chally.paging import Page, PageParams
from chally.ratelimit import network
from chally.settings import IdentitySettings, load
from chally.text import SHOWN_LINE
from identity import ceremonies, credentials, passkeys, rules, sign_in
from identity.queries import passkeys as queries
from identity.queries import users
from identity.queries.passkeys import Passkey
from identity.routes.client import CurrentClient, SessionOut, sign_in_response
from identity.sessions import TokenPair
from identity.sign_in import PendingSignIn

router = http.router("identity")

NAME = "Chally"

AssertionJson = Annotated[
    dict[str, Any], Field(description="The result of navigator.credentials.get(), as returned by its toJSON().")
]
AttestationJson = Annotated[
    dict[str, Any], Field(description="The result of navigator.credentials.create(), as returned by its toJSON().")
]


async def _relying_party() -> ceremonies.RelyingParty:
    settings = load(IdentitySettings)
    return ceremonies.RelyingParty(id=settings.relying_party_id, name=NAME, origins=settings.origins)


# The passkeys of this stage are bound to it.
CurrentRelyingParty = Annotated[ceremonies.RelyingParty, Depends(_relying_party)]


class PasskeyIn(Body):
    name: Annotated[str, Field(min_length=1, max_length=60), SHOWN_LINE]
    attestation: AttestationJson


class PasskeyOut(BaseModel):
    """A passkey. `backed_up`: it is synchronised by its provider, and so survives the loss of the device."""

    id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None
    backed_up: bool

    @classmethod
    def of(cls, passkey: Passkey) -> Self:
        return cls(
            id=passkey.id,
            name=passkey.name,
            created_at=passkey.created_at,
            last_used_at=passkey.last_used_at,
            backed_up=passkey.backed_up,
        )


class AssertionIn(Body):
    assertion: AssertionJson


@router.post("/v1/me/passkeys/options", summary="Get options for a new passkey")
async def create_passkey_options(
    request: Request, actor: CurrentActor, relying_party: CurrentRelyingParty
) -> dict[str, Any]:
    """Get the options for registering a passkey, for PublicKeyCredential.parseCreationOptionsFromJSON(). They are
    single-use and valid for five minutes. Requires a sign-in within the last ten minutes.
    """
    now = clock.now()
    ratelimit.consume(now, actor, passkey_account=str(actor.user_id), passkey_ip=_network(request))
    with db.as_account(actor, "passkey options") as tx:
        check_fresh(tx.session, now)
        credentials.check_factor(tx, actor.user_id)
        user = users.user(tx, actor.user_id)
        if user is None:
            raise Unauthenticated
        return passkeys.registration_options(tx, user, relying_party=relying_party, now=now)


@router.post("/v1/me/passkeys", summary="Register a passkey", status_code=201)
async def register_passkey(
    request: Request, body: PasskeyIn, actor: CurrentActor, relying_party: CurrentRelyingParty
) -> PasskeyOut:
    """Register a passkey. Safe to repeat: if it is registered already, it is returned unchanged."""
    now = clock.now()
    ratelimit.consume(now, actor, passkey_change=str(actor.user_id), passkey_ip=_network(request))
    passkey: Passkey | AppError
    with db.as_account(actor, "register passkey") as tx:  # not a dependency: the used challenge commits
        check_fresh(tx.session, now)
        credentials.check_factor(tx, actor.user_id)
        try:
            passkey = passkeys.register(
                tx,
                actor.user_id,
                name=body.name,
                attestation=body.attestation,
                relying_party=relying_party,
                now=now,
            )
        except (rules.PasskeyInvalid, rules.PasskeyTaken, rules.TooManyPasskeys) as error:
            passkey = error
    if isinstance(passkey, AppError):
        raise passkey
    return PasskeyOut.of(passkey)


@router.get("/v1/me/passkeys", summary="List my passkeys")
async def list_my_passkeys(actor: CurrentActor, tx: AccountTx, paging: PageParams) -> Page[PasskeyOut]:
    """List my passkeys, newest first."""
    found = queries.list_page(tx, actor.user_id, after=paging.after, limit=paging.fetch_limit, offset=paging.offset)
    return paging.page(found, [PasskeyOut.of(passkey) for passkey in found], [str(passkey.id) for passkey in found])


@router.delete(
    "/v1/me/passkeys/{passkey_id}",
    summary="Remove a passkey",
    status_code=204,
    dependencies=[limits.per_account("passkey_change")],
)
async def remove_passkey(passkey_id: UUID, actor: CurrentActor, tx: AccountTx) -> None:
    """Remove a passkey. Requires a sign-in within the last ten minutes."""
    now = clock.now()
    check_fresh(tx.session, now)
    credentials.check_factor(tx, actor.user_id)
    if not passkeys.remove(tx, passkey_id, actor.user_id, now):
        raise NotFound


@router.post("/v1/auth/passkey/options", summary="Get options for signing in by passkey")
async def create_passkey_sign_in_options(request: Request, relying_party: CurrentRelyingParty) -> dict[str, Any]:
    """Get the options for signing in by passkey, for PublicKeyCredential.parseRequestOptionsFromJSON(). They are
    single-use and valid for five minutes, and also serve for a second factor and for POST /v1/me/step-up.
    """
    now = clock.now()
    ratelimit.consume(now, passkey_ip=_network(request))
    with db.as_system("passkey sign-in options") as tx:
        return passkeys.sign_in_options(tx, relying_party=relying_party, now=now)


@router.post("/v1/auth/passkey", summary="Sign in by passkey", response_model_exclude_unset=True)
async def sign_in_by_passkey(
    body: AssertionIn, client: CurrentClient, relying_party: CurrentRelyingParty, response: Response
) -> SessionOut:
    """Sign in by passkey. It counts as both factors."""
    now = clock.now()
    ratelimit.consume(now, passkey_ip=network(client.ip))
    outcome: TokenPair | PendingSignIn | rules.PasskeyInvalid
    with db.as_system("passkey sign-in") as tx:  # not a dependency: the used challenge commits
        try:
            passkey = passkeys.verify(tx, body.assertion, relying_party=relying_party, now=now)
            user = users.user(tx, passkey.user_id)
            if user is None:
                raise rules.PasskeyInvalid
            outcome = sign_in.proceed(tx, user, client, now, method="passkey")
        except rules.PasskeyInvalid as error:
            outcome = error
    if isinstance(outcome, rules.PasskeyInvalid):
        raise outcome
    return sign_in_response(outcome, client, response)


def _network(request: Request) -> str:
    return network(request.client.host if request.client else None)
