"""HTTP of second factors: TOTP, backup codes, and stepping up a session."""

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
from chally.sentences import pattern
from identity import backup_codes, credentials, rules, second_factors, sign_in, tokens, totp
from identity.fields import Password, Token
from identity.queries import second_factors as queries
from identity.queries import sessions, users
from identity.routes.client import CurrentClient, SessionOut, session_response
from identity.routes.passkeys import AssertionJson, CurrentRelyingParty
from identity.second_factors import SecondFactor

router = http.router("identity")


def _without_spaces(value: object) -> object:
    """Remove spaces: apps show 123 456, and people copy it like that."""
    return "".join(value.split()) if isinstance(value, str) else value


Code = Annotated[
    str,
    pattern(r"^[0-9]{6}$", "Must be the six digits that the app shows.", examples=["123456"]),
    BeforeValidator(_without_spaces),  # outside of the pattern, or the description would lack it
]
BackupCode = Annotated[str, Field(min_length=1, max_length=40, examples=["7d0kx-mq3vt"])]


class FactorIn(Body):
    code: Code | None = None
    backup_code: BackupCode | None = None
    assertion: AssertionJson | None = None

    def factor(self) -> SecondFactor:
        return SecondFactor(self.code, self.backup_code, self.assertion)


class MfaIn(FactorIn):
    """Exactly one second factor."""

    mfa_token: Token

    @model_validator(mode="after")
    def _one(self) -> Self:
        return _exactly_one(self, "code", "backup_code", "assertion")


class StepUpIn(FactorIn):
    """Exactly one of the fields."""

    password: Password | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        return _exactly_one(self, "password", "code", "backup_code", "assertion")


class CodeIn(Body):
    code: Code


class TotpOffIn(FactorIn):
    """At most one of the fields."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        return _exactly_one(self, "code", "backup_code", "assertion") if self.model_fields_set else self


class TotpOut(BaseModel):
    """The secret for an authenticator app: `secret` in base 32 for typing, `otpauth_uri`, and its QR code (SVG)."""

    secret: str
    otpauth_uri: str
    qr: str


class TotpStateOut(BaseModel):
    """The state of the authenticator app. `since`: when it was turned on; null if it is off."""

    on: bool
    since: datetime | None
    backup_codes_left: int


class BackupCodesOut(BaseModel):
    """Ten single-use codes. This is the only response that shows them."""

    backup_codes: list[str]


def _exactly_one[T: Body](body: T, *names: str) -> T:
    if sum(getattr(body, name) is not None for name in names) != 1:
        raise ValueError(f"Send exactly one of {', '.join(names[:-1])} and {names[-1]}.")
    return body


@router.post("/v1/auth/mfa", summary="Complete a sign-in with a second factor", response_model_exclude_unset=True)
async def complete_sign_in(
    body: MfaIn, client: CurrentClient, relying_party: CurrentRelyingParty, response: Response
) -> SessionOut:
    """Complete a sign-in with a second factor. The mfa_token stays valid until one succeeds."""
    now = clock.now()
    token_hash = tokens.digest(body.mfa_token)
    ratelimit.consume(now, token_ip=network(client.ip))
    with db.as_system("find pending sign-in", read_only=True) as tx:
        user_id = queries.find_pending(tx, token_hash, now)
    if user_id is None:
        raise rules.MfaTokenInvalid
    ratelimit.consume(now, second_factor=str(user_id))
    factor = body.factor()
    with db.as_system("second factor") as tx:  # not a dependency: the audit row of a failure commits
        user = users.user(tx, user_id) if queries.lock_pending(tx, token_hash, now) else None
        if user is None:
            raise rules.MfaTokenInvalid
        error = second_factors.verify(tx, user.id, factor, client.keyring, relying_party=relying_party, now=now)
        if error is None:
            queries.delete_pending(tx, token_hash)
            session = sign_in.finish(tx, user, client, now, method=factor.method, second_factor=True)
    if error is not None:
        raise error
    return session_response(session, client, response)


@router.post("/v1/me/step-up", summary="Confirm my identity", status_code=204)
async def confirm_identity(
    body: StepUpIn, actor: CurrentActor, client: CurrentClient, relying_party: CurrentRelyingParty
) -> None:
    """Confirm your identity. For ten minutes this allows the calls that require it (403 `step_up_required`).

    An account with an authenticator app requires a second factor; any other its password or a passkey.
    """
    now = clock.now()
    if body.password is not None:
        ratelimit.consume(now, actor, password_check=str(actor.user_id))
    else:
        ratelimit.consume(now, actor, factor_check=str(actor.user_id))
    error: AppError | None
    with db.as_account(actor, "step up") as tx:  # not a dependency: the audit row of a failure commits
        if body.password is not None:
            by: sign_in.SignInMethod = "password"
            error = _check_password(tx, actor.user_id, body.password, now)
        else:
            factor = body.factor()
            by = factor.method
            error = second_factors.verify(
                tx, actor.user_id, factor, client.keyring, relying_party=relying_party, now=now
            )
        if error is None:
            sessions.authenticate_session(tx, actor.session_id, second_factor=by != "password", now=now)
            audit.record(tx, "stepped_up", now, user_id=actor.user_id, by=by)
    if error is not None:
        raise error


def _check_password(tx: Tx, user_id: UUID, password: str, now: datetime) -> AppError | None:
    methods = queries.methods(tx, user_id)
    if methods:
        return rules.SecondFactorNeeded(methods)
    if credentials.check_current_password(tx, user_id, password, now) is None:
        return rules.InvalidCredentials("The password is wrong.")
    return None


@router.get("/v1/me/totp", summary="Get the authenticator app")
async def get_totp(actor: CurrentActor, tx: AccountTx) -> TotpStateOut:
    """Get the state of the authenticator app."""
    state = queries.find_totp_state(tx, actor.user_id)
    return TotpStateOut(
        on=state.confirmed_at is not None, since=state.confirmed_at, backup_codes_left=state.backup_codes_left
    )


@router.post("/v1/me/totp", summary="Set up an authenticator app")
async def start_totp(actor: CurrentActor, client: CurrentClient) -> TotpOut:
    """Set up an authenticator app. POST /v1/me/totp/confirm turns it on; until then, another call returns a new secret.
    Requires a sign-in within the last ten minutes.
    """
    now = clock.now()
    ratelimit.consume(now, actor, totp_setup=str(actor.user_id))
    with db.as_account(actor, "set up totp") as tx:
        check_fresh(tx.session, now)
        user = users.user(tx, actor.user_id)
        if user is None:
            raise Unauthenticated
        secret = totp.begin(tx, user, client.keyring, now)
    uri = totp.uri(secret, user.username)
    return TotpOut(secret=secret, otpauth_uri=uri, qr=qr.svg(uri))


@router.post("/v1/me/totp/confirm", summary="Turn on the authenticator app")
async def confirm_totp(body: CodeIn, actor: CurrentActor, client: CurrentClient) -> BackupCodesOut:
    """Turn the authenticator app on with a code that it shows. From then on, signing in by password requires a code."""
    now = clock.now()
    ratelimit.consume(now, actor, factor_check=str(actor.user_id))
    with db.as_account(actor, "confirm totp") as tx:
        codes = totp.confirm(tx, actor.user_id, body.code, client.keyring, now)
        sessions.authenticate_session(tx, actor.session_id, second_factor=True, now=now)
    return BackupCodesOut(backup_codes=codes)


@router.delete("/v1/me/totp", summary="Turn off the authenticator app", status_code=204)
async def turn_totp_off(
    actor: CurrentActor, client: CurrentClient, relying_party: CurrentRelyingParty, body: TotpOffIn | None = None
) -> None:
    """Turn the authenticator app off and delete its backup codes.

    Requires a code or a backup code, or a second factor within the last ten minutes (see POST /v1/me/step-up).
    """
    now = clock.now()
    factor = body.factor() if body and body.model_fields_set else None
    ratelimit.consume(now, actor, factor_check=str(actor.user_id))
    with db.as_account(actor, "turn totp off") as tx:
        if not queries.methods(tx, actor.user_id):
            raise rules.TotpOff
        if factor is None:
            if not tx.session.second_factor:
                raise StepUpRequired
            check_fresh(tx.session, now)
            error = None
        else:
            error = second_factors.verify(
                tx, actor.user_id, factor, client.keyring, relying_party=relying_party, now=now
            )
        if error is None:
            totp.turn_off(tx, actor.user_id, now)
    if error is not None:
        raise error


@router.post("/v1/me/backup-codes", summary="Get new backup codes")
async def replace_backup_codes(
    body: CodeIn, actor: CurrentActor, client: CurrentClient, relying_party: CurrentRelyingParty
) -> BackupCodesOut:
    """Get ten new backup codes. The old ones no longer work."""
    now = clock.now()
    ratelimit.consume(now, actor, factor_check=str(actor.user_id))
    with db.as_account(actor, "replace backup codes") as tx:
        if not queries.methods(tx, actor.user_id):
            raise rules.TotpOff
        factor = SecondFactor(code=body.code)
        error = second_factors.verify(tx, actor.user_id, factor, client.keyring, relying_party=relying_party, now=now)
        if error is None:
            codes = backup_codes.replace(tx, actor.user_id, client.keyring, now)
    if error is not None:
        raise error
    return BackupCodesOut(backup_codes=codes)
