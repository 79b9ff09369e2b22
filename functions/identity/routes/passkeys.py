"""HTTP of passkeys (WebAuthn): registering them, and signing in with one."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Depends, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from chally import clock, db, http, ratelimit
from chally.actor import check_fresh
from chally.body import Body
from chally.errors import AppError, NotFound, Unauthenticated
from chally.http import AccountTx, CurrentActor
from chally.paging import Page, PageParams
from chally.ratelimit import network
from chally.settings import IdentitySettings, load
from identity import ceremonies, credentials, passkeys, rules, sign_in
from identity.queries import passkeys as queries
from identity.queries import users
from identity.queries.passkeys import Passkey
from identity.routes.client import Client, SessionOut, complete
from identity.sessions import Session
from identity.sign_in import Pending

router = http.router("identity")

NAME = "Chally"

Assertion = Annotated[
    dict[str, Any], Field(description="what navigator.credentials.get() answered, by its method toJSON()")
]
Attestation = Annotated[
    dict[str, Any], Field(description="what navigator.credentials.create() answered, by its method toJSON()")
]


async def _relying_party() -> ceremonies.RelyingParty:
    settings = load(IdentitySettings)
    return ceremonies.RelyingParty(id=settings.relying_party_id, name=NAME, origins=settings.origins)


# For whom passkeys are made: this stage.
RelyingParty = Annotated[ceremonies.RelyingParty, Depends(_relying_party)]


class PasskeyIn(Body):
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]
    attestation: Attestation


class PasskeyOut(BaseModel):
    """`backed_up`: it is kept in an account of its maker's, and so outlives the device."""

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
    assertion: Assertion


@router.post("/v1/me/passkeys/options")
async def passkey_options(request: Request, actor: CurrentActor, relying_party: RelyingParty) -> dict[str, Any]:
    """What to register a passkey with: give it to PublicKeyCredential.parseCreationOptionsFromJSON(). Good once, for
    five minutes. Takes a sign-in not older than ten minutes.
    """
    now = clock.now()
    ratelimit.take(now, actor, passkey_account=str(actor.user_id), passkey_ip=_network(request))
    with db.as_account(actor, "passkey options") as tx:
        check_fresh(tx.session, now)
        credentials.check_factor(tx, actor.user_id)
        user = users.user(tx, actor.user_id)
        if user is None:
            raise Unauthenticated
        return passkeys.registration_options(tx, user, relying_party=relying_party, now=now)


@router.post("/v1/me/passkeys", status_code=201)
async def add_passkey(
    request: Request, body: PasskeyIn, actor: CurrentActor, relying_party: RelyingParty
) -> PasskeyOut:
    """Register a passkey. Safe to repeat: the same one again is answered as it is."""
    now = clock.now()
    ratelimit.take(now, passkey_ip=_network(request))
    passkey: Passkey | AppError
    with db.as_account(actor, "register passkey") as tx:  # its own: a challenge is used up, although it is refused
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
        except (rules.PasskeyInvalid, rules.PasskeyTaken, rules.TooManyPasskeys) as refused:
            passkey = refused
    if isinstance(passkey, AppError):
        raise passkey
    return PasskeyOut.of(passkey)


@router.get("/v1/me/passkeys")
async def my_passkeys(actor: CurrentActor, tx: AccountTx, paging: PageParams) -> Page[PasskeyOut]:
    """My passkeys, the newest first."""
    found = queries.listed(tx, actor.user_id, after=paging.after, limit=paging.fetch, offset=paging.offset)
    return paging.page(found, [PasskeyOut.of(passkey) for passkey in found], [str(passkey.id) for passkey in found])


@router.delete("/v1/me/passkeys/{passkey_id}", status_code=204)
async def remove_passkey(passkey_id: UUID, actor: CurrentActor, tx: AccountTx) -> None:
    """Remove a passkey. Takes a sign-in not older than ten minutes."""
    now = clock.now()
    check_fresh(tx.session, now)
    credentials.check_factor(tx, actor.user_id)
    if not passkeys.remove(tx, passkey_id, actor.user_id, now):
        raise NotFound


@router.post("/v1/auth/passkey/options")
async def passkey_sign_in_options(request: Request, relying_party: RelyingParty) -> dict[str, Any]:
    """What to sign in by passkey with: give it to PublicKeyCredential.parseRequestOptionsFromJSON(). Good once, for
    five minutes; for a second factor, and for confirming anew who one is, as well.
    """
    now = clock.now()
    ratelimit.take(now, passkey_ip=_network(request))
    with db.as_system("passkey sign-in options") as tx:
        return passkeys.sign_in_options(tx, relying_party=relying_party, now=now)


@router.post("/v1/auth/passkey", response_model_exclude_unset=True)
async def passkey_sign_in(
    body: AssertionIn, client: Client, relying_party: RelyingParty, response: Response
) -> SessionOut:
    """Sign in by passkey: that is both factors in one."""
    now = clock.now()
    ratelimit.take(now, passkey_ip=network(client.ip))
    outcome: Session | Pending | rules.PasskeyInvalid
    with db.as_system("passkey sign-in") as tx:  # its own: a challenge is used up, although it is refused
        try:
            passkey = passkeys.verify(tx, body.assertion, relying_party=relying_party, now=now)
            user = users.user(tx, passkey.user_id)
            if user is None:
                raise rules.PasskeyInvalid
            outcome = sign_in.proceed(tx, user, client, now, proof="passkey")
        except rules.PasskeyInvalid as refused:
            outcome = refused
    if isinstance(outcome, rules.PasskeyInvalid):
        raise outcome
    return complete(outcome, client, response)


def _network(request: Request) -> str:
    return network(request.client.host if request.client else None)
