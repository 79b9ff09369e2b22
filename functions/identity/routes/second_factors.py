"""HTTP of second factors: TOTP, backup codes, and confirming anew who one is."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from starlette.responses import Response

from chally import audit, clock, db, http, qr, ratelimit
from chally.actor import StepUpRequired, check_fresh
from chally.body import Body
from chally.db import Tx
from chally.errors import AppError, Unauthenticated
from chally.http import AccountTx, CurrentActor
from chally.ratelimit import network
from identity import backup_codes, credentials, rules, second_factors, sign_in, tokens, totp
from identity.queries import second_factors as queries
from identity.queries import sessions, users
from identity.routes.auth import Password, Token
from identity.routes.client import Client, SessionOut, hand_over
from identity.routes.passkeys import Assertion, RelyingParty
from identity.second_factors import Given

router = http.router("identity")


def _closed_up(value: object) -> object:
    """Apps show 123 456, and people copy it so."""
    return "".join(value.split()) if isinstance(value, str) else value


Code = Annotated[str, BeforeValidator(_closed_up), Field(pattern=r"^[0-9]{6}$", examples=["123456"])]
BackupCode = Annotated[str, Field(min_length=1, max_length=40, examples=["7d0kx-mq3vt"])]


class FactorIn(Body):
    code: Code | None = None
    backup_code: BackupCode | None = None
    assertion: Assertion | None = None

    def given(self) -> Given:
        return Given(self.code, self.backup_code, self.assertion)


class MfaIn(FactorIn):
    """Exactly one second factor."""

    mfa_token: Token

    @model_validator(mode="after")
    def _one(self) -> Self:
        return _exactly_one(self, "code", "backup_code", "assertion")


class StepUpIn(FactorIn):
    """Exactly one of all."""

    password: Password | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        return _exactly_one(self, "password", "code", "backup_code", "assertion")


class CodeIn(Body):
    code: Code


class TotpOffIn(FactorIn):
    """At most one of them."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        return _exactly_one(self, "code", "backup_code", "assertion") if self.model_fields_set else self


class TotpOut(BaseModel):
    """What an authenticator app takes: `secret` in base 32 to be typed, or `otpauth_uri`, which `qr` (SVG) shows."""

    secret: str
    otpauth_uri: str
    qr: str


class TotpStateOut(BaseModel):
    """`since`: when it was turned on; null where it is off."""

    on: bool
    since: datetime | None
    backup_codes_left: int


class BackupCodesOut(BaseModel):
    """Ten codes, each good once. They are shown here and never again."""

    backup_codes: list[str]


def _exactly_one[T: Body](body: T, *names: str) -> T:
    if sum(getattr(body, name) is not None for name in names) != 1:
        raise ValueError(f"Send exactly one of {', '.join(names[:-1])} and {names[-1]}.")
    return body


@router.post("/v1/auth/mfa", response_model_exclude_unset=True)
async def mfa(body: MfaIn, client: Client, relying_party: RelyingParty, response: Response) -> SessionOut:
    """Finish a sign-in that waits for its second factor. Only success uses the mfa_token up."""
    now = clock.now()
    token_hash = tokens.digest(body.mfa_token)
    ratelimit.take(now, token_ip=network(client.ip))
    with db.as_system("whose sign-in waits", read_only=True) as tx:
        user_id = queries.pending(tx, token_hash, now)
    if user_id is None:
        raise rules.MfaTokenInvalid
    ratelimit.take(now, second_factor=str(user_id))
    given = body.given()
    with db.as_system("second factor") as tx:  # its own: a failure is written down, although the answer is an error
        user = users.user(tx, user_id) if queries.lock_pending(tx, token_hash, now) else None
        if user is None:
            raise rules.MfaTokenInvalid
        refused = second_factors.refusal(tx, user.id, given, client.keyring, relying_party=relying_party, now=now)
        if refused is None:
            queries.drop_pending(tx, token_hash)
            session = sign_in.finish(tx, user, client, now, proof=given.proof, second_factor=True)
    if refused is not None:
        raise refused
    return hand_over(session, client, response)


@router.post("/v1/me/step-up", status_code=204)
async def step_up(body: StepUpIn, actor: CurrentActor, client: Client, relying_party: RelyingParty) -> None:
    """Confirm that it is you. For ten minutes this allows what asks for it (403 `step_up_required`).

    An account with an authenticator app takes a second factor; any other its password, or a passkey.
    """
    now = clock.now()
    if body.password is not None:
        ratelimit.take(now, actor, password_check=str(actor.user_id))
    else:
        ratelimit.take(now, actor, factor_check=str(actor.user_id))
    refused: AppError | None
    with db.as_account(actor, "step up") as tx:  # its own: a failure is written down, although the answer is an error
        if body.password is not None:
            by: sign_in.Proof = "password"
            refused = _refused_password(tx, actor.user_id, body.password, now)
        else:
            given = body.given()
            by = given.proof
            refused = second_factors.refusal(
                tx, actor.user_id, given, client.keyring, relying_party=relying_party, now=now
            )
        if refused is None:
            sessions.authenticate_session(tx, actor.session_id, second_factor=by != "password", now=now)
            audit.record(tx, "stepped_up", now, user_id=actor.user_id, by=by)
    if refused is not None:
        raise refused


def _refused_password(tx: Tx, user_id: UUID, password: str, now: datetime) -> AppError | None:
    methods = queries.methods(tx, user_id)
    if methods:
        return rules.SecondFactorNeeded(methods)
    if credentials.prove(tx, user_id, password, now) is None:
        return rules.InvalidCredentials("The password is wrong.")
    return None


@router.get("/v1/me/totp")
async def read_totp(actor: CurrentActor, tx: AccountTx) -> TotpStateOut:
    """Whether an authenticator app is on."""
    state = queries.totp_state(tx, actor.user_id)
    return TotpStateOut(
        on=state.confirmed_at is not None, since=state.confirmed_at, backup_codes_left=state.backup_codes_left
    )


@router.post("/v1/me/totp")
async def begin_totp(actor: CurrentActor, client: Client) -> TotpOut:
    """Set up an authenticator app. It is on once POST /v1/me/totp/confirm has a code of it; until then this may be
    called again, and answers another secret. Takes a fresh sign-in.
    """
    now = clock.now()
    with db.as_account(actor, "set up totp") as tx:
        check_fresh(tx.session, now)
        user = users.user(tx, actor.user_id)
        if user is None:
            raise Unauthenticated
        secret = totp.begin(tx, user, client.keyring, now)
    uri = totp.uri(secret, user.username)
    return TotpOut(secret=secret, otpauth_uri=uri, qr=qr.svg(uri))


@router.post("/v1/me/totp/confirm")
async def confirm_totp(body: CodeIn, actor: CurrentActor, client: Client) -> BackupCodesOut:
    """Turn the authenticator app on, with a code that it shows. From now on signing in by password takes a code."""
    now = clock.now()
    ratelimit.take(now, actor, factor_check=str(actor.user_id))
    with db.as_account(actor, "confirm totp") as tx:
        codes = totp.confirm(tx, actor.user_id, body.code, client.keyring, now)
        sessions.authenticate_session(tx, actor.session_id, second_factor=True, now=now)
    return BackupCodesOut(backup_codes=codes)


@router.delete("/v1/me/totp", status_code=204)
async def turn_totp_off(
    actor: CurrentActor, client: Client, relying_party: RelyingParty, body: TotpOffIn | None = None
) -> None:
    """Turn the authenticator app off, and its backup codes with it.

    Takes a code or a backup code, or a second factor of the last ten minutes (see POST /v1/me/step-up).
    """
    now = clock.now()
    given = body.given() if body and body.model_fields_set else None
    if given is not None:
        ratelimit.take(now, actor, factor_check=str(actor.user_id))
    with db.as_account(actor, "turn totp off") as tx:
        if not queries.methods(tx, actor.user_id):
            raise rules.TotpOff
        if given is None:
            if not tx.session.second_factor:
                raise StepUpRequired
            check_fresh(tx.session, now)
            refused = None
        else:
            refused = second_factors.refusal(
                tx, actor.user_id, given, client.keyring, relying_party=relying_party, now=now
            )
        if refused is None:
            totp.turn_off(tx, actor.user_id, now)
    if refused is not None:
        raise refused


@router.post("/v1/me/backup-codes")
async def replace_backup_codes(
    body: CodeIn, actor: CurrentActor, client: Client, relying_party: RelyingParty
) -> BackupCodesOut:
    """Ten new backup codes. The old ones are void."""
    now = clock.now()
    ratelimit.take(now, actor, factor_check=str(actor.user_id))
    with db.as_account(actor, "replace backup codes") as tx:
        if not queries.methods(tx, actor.user_id):
            raise rules.TotpOff
        given = Given(code=body.code)
        refused = second_factors.refusal(tx, actor.user_id, given, client.keyring, relying_party=relying_party, now=now)
        if refused is None:
            codes = backup_codes.replace(tx, actor.user_id, client.keyring, now)
    if refused is not None:
        raise refused
    return BackupCodesOut(backup_codes=codes)
