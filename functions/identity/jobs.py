"""Jobs of identity: key rotation, roles, and nightly retention."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from chally import aws, clock, db
from chally.db import Tx
from chally.jobs import TimeBudget, drain, job
from chally.log import logger, metrics
from chally.settings import SigningKeysSettings, load
from identity import retention, roles, rotation
from identity.keyring import Keyring
from identity.queries import keys as queries
from identity.receipt_key import ReceiptKey

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

ATTEMPTS = 3
# No run lasts this long: a key that was published earlier and is in no secret will never be in one.
ORPHANED_AFTER = timedelta(hours=1)
RESERVE = timedelta(seconds=30)


@job
def signing_keys_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    """At every deploy and every day: generate missing keys, publish them all, and rotate old ones.

    `{"rotate": true}` rotates the key of access tokens now, `{"rotate_receipts": true}` the receipt key. A run may be
    repeated, cut off anywhere, and run twice at once.
    """
    settings = load(SigningKeysSettings)
    keyring = _retry_lost_races(lambda: _rotate_keys(settings.signing_secret_arn, by_hand=event.get("rotate") is True))
    now = clock.now()
    signing, newest = keyring.signing(now), keyring.keys[-1]
    metrics.add_metric("SigningKeyAgeDays", MetricUnit.Count, rotation.age_days(keyring, now))
    receipts = _retry_lost_races(
        lambda: _rotate_receipt_key(settings.receipt_secret_arn, by_hand=event.get("rotate_receipts") is True)
    )
    logger.info("signing_keys", signing=signing.kid, newest=newest.kid, receipts=receipts.kid)
    return {
        "signing": signing.kid,
        "newest": newest.kid,
        "newest_signs_from": rotation.signing_start(newest).isoformat(),
        "receipts": receipts.kid,
    }


def _retry_lost_races[T](rotate: Callable[[], T | None]) -> T:
    """Return the result of `rotate`; call it again while another run stores the secret first."""
    for _ in range(ATTEMPTS):
        rotated = rotate()
        if rotated is not None:
            return rotated
    raise RuntimeError(
        "the secret already has a version after the current one: other runs are storing theirs, or an old version was"
        " made current; in that case put that version's value again"
    )


def _rotate_keys(secret_arn: str, *, by_hand: bool) -> Keyring | None:
    """Publish and store the keys to use from now on; None if another run stored a secret since we read it."""
    client = aws.client("secretsmanager")
    secret = client.get_secret_value(SecretId=secret_arn)
    now = clock.now()
    stored = rotation.read(secret["SecretString"])
    keyring = rotation.plan(stored, now, by_hand=by_hand)
    with db.as_system("publish signing keys") as tx:  # first: no token's key may be unknown to its verifiers
        for key in keyring.keys:
            queries.publish_key(tx, key.kid, key.public_jwk())
        if stored is not None:
            _set_ends(tx, stored)  # if the last run was cut off: keys that leave the secret now need an end
        queries.end_orphaned_keys(
            tx,
            [key.kid for key in (*keyring.keys, *(stored.keys if stored else ()))],
            published_before=now - ORPHANED_AFTER,
            verifies_until=now + rotation.VERIFIES_ON,
        )
    if keyring.dumps() == secret["SecretString"]:
        return keyring
    if not _store(client, secret_arn, keyring.dumps(), after=secret["VersionId"]):
        return None
    with db.as_system("set ends of signing keys") as tx:
        _set_ends(tx, keyring)
    return keyring


def _rotate_receipt_key(secret_arn: str, *, by_hand: bool) -> ReceiptKey | None:
    """The same for receipts. A published key that was never stored stays published: its private half is gone."""
    client = aws.client("secretsmanager")
    secret = client.get_secret_value(SecretId=secret_arn)
    stored = rotation.read_receipt_key(secret["SecretString"])
    key = rotation.plan_receipt_key(stored, clock.now(), by_hand=by_hand)
    with db.as_system("publish receipt key") as tx:
        queries.publish_key(tx, key.kid, key.public_jwk())
    return key if key == stored or _store(client, secret_arn, key.dumps(), after=secret["VersionId"]) else None


def _store(client: "SecretsManagerClient", secret_arn: str, text: str, *, after: str) -> bool:
    """Store the successor of a secret's version; False if another run has stored one."""
    try:
        # The successor's id is derived from the version: of two runs that read the same version, one is refused.
        client.put_secret_value(
            SecretId=secret_arn, SecretString=text, ClientRequestToken=str(uuid5(NAMESPACE_OID, after))
        )
    except client.exceptions.ResourceExistsException:
        return False
    return True


def _set_ends(tx: Tx, keyring: Keyring) -> None:
    for kid, end in rotation.verify_until(keyring).items():
        queries.set_end(tx, kid, end)


@job
def roles_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    """By hand: `{"email": …, "role": "admin" | "moderator" | "user"}`. Returns a sentence as `detail` or `error`."""
    email, role = event.get("email"), event.get("role")
    if not isinstance(email, str) or role not in ("admin", "moderator", "user"):
        return {"error": 'Send {"email": "…", "role": "admin"}. The roles are admin, moderator and user.'}
    with db.as_system("change a role") as tx:
        change = roles.change(tx, email, role, clock.now())
    if change is None:
        return {"error": "No account has this address. The user must register and confirm it first."}
    logger.info("role_change", before=change.before, after=role)
    changed = change.before != role
    detail = f"{change.username} {'now' if changed else 'already'} has the role {role}."
    if role != "user" and change.second_factor:
        detail += f" {role.capitalize()} calls work in sessions that were started with the second factor."
    elif role != "user":
        detail += f" {role.capitalize()} calls require a second factor, which {change.username} must turn on first."
    return {"detail": detail}


@job
def nightly_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every night: delete data that is no longer needed. Resumable, and safe to repeat.

    A failed sweep does not stop the others; RuntimeError at the end triggers the alarm.
    """
    budget = TimeBudget(context, reserve=RESERVE)
    deleted = failed = 0
    for name in retention.SWEEPS:
        try:
            deleted += drain(partial(_sweep, name), limit=retention.BATCH, budget=budget)
        except Exception:
            logger.exception("sweep_failure", sweep=name)
            failed += 1
    logger.info("retention", deleted=deleted, failed=failed)
    if failed:
        raise RuntimeError(f"{failed} sweeps failed")
    return {"deleted": deleted}


def _sweep(name: str) -> int:
    with db.as_system(f"sweep {name}") as tx:
        return retention.SWEEPS[name](tx, clock.now())
