"""Jobs of identity: key rotation, roles, exports, and the nightly purge and retention."""

import tempfile
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, UUID, uuid5

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from chally import aws, clock, db, storage
from chally.db import Tx
from chally.jobs import Scan, TimeBudget, drain, job
from chally.log import logger, metrics
from chally.settings import ExportsSettings, NightlySettings, SigningKeysSettings, load
from identity import archive, deletion, export, retention, roles, rotation
from identity.keyring import Keyring
from identity.queries import keys as queries
from identity.queries import people, users
from identity.queries.exports import Export
from identity.receipt_key import ReceiptKey

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

ATTEMPTS = 3
# No run lasts this long: a key that was published earlier and is in no secret will never be in one.
ORPHANED_AFTER = timedelta(hours=1)
PEOPLE = 100
# A run starts nothing more with less time left than this; the next run continues. A large export takes minutes.
RESERVE = timedelta(seconds=30)
EXPORT_RESERVE = timedelta(minutes=10)


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
def exports_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every minute: build what was asked for, one at a time. What fails or is cut off is taken up when its lease ends.

    RuntimeError at the end when any failed, for the alarm.
    """
    built = failed = 0
    budget = TimeBudget(context, reserve=EXPORT_RESERVE)
    while True:
        with db.as_system("claim an export") as tx:
            claimed = export.claim(tx, clock.now())
        if claimed is None:
            break
        try:
            _build(claimed)
            built += 1
        except Exception:
            logger.exception("export failed; it is tried again later", export_id=str(claimed.id))
            failed += 1
        if not budget.has_time():
            break
    metrics.add_metric("ExportsBuilt", MetricUnit.Count, built)
    logger.info("exports", built=built, failed=failed)
    if failed:
        raise RuntimeError(f"{failed} exports failed")
    return {"built": built}


def _build(claimed: Export) -> None:
    """Read, write, upload, record: no transaction waits for storage."""
    settings = load(ExportsSettings)
    with db.as_system("read an export", read_only=True) as tx:
        user = users.user(tx, claimed.user_id)
        held = people.held(tx, claimed.user_id)
        objects = people.objects(tx, claimed.user_id)
    if user is None:
        return
    key = export.new_key(claimed.id)
    with tempfile.TemporaryFile() as file:
        archive.write(
            file,
            held,
            [each for each in objects if each.name is not None],
            bucket=settings.uploads_bucket,
            username=user.username,
            now=clock.now(),
        )
        size = file.tell()
        archive.upload(file, bucket=settings.uploads_bucket, key=key)
    with db.as_system("an export is ready") as tx:
        export.finish(tx, claimed, object_key=key, size=size, public_url=settings.public_url, now=clock.now())


@job
def nightly_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every night: forget who left more than 30 days ago, and delete what is old. Resumable, and safe to repeat.

    One that fails does not hold up the others; RuntimeError at the end, for the alarm.
    """
    purged = deleted = failed = 0
    budget = TimeBudget(context, reserve=RESERVE)
    for user_ids in Scan(_due_for_deletion, budget):
        for user_id in user_ids:
            if not budget.has_time():
                break
            try:
                purged += _purge(user_id)
            except Exception:
                logger.exception("could not forget somebody; tried again tomorrow", user_id=str(user_id))
                failed += 1
    for what in retention.SWEEPS:
        try:
            deleted += drain(partial(_sweep, what), limit=retention.BATCH, budget=budget)
        except Exception:
            logger.exception("could not sweep; tried again tomorrow", what=what)
            failed += 1
    metrics.add_metric("AccountsPurged", MetricUnit.Count, purged)
    logger.info("nightly", purged=purged, deleted=deleted, failed=failed)
    if failed:
        raise RuntimeError(f"{failed} parts of the nightly work failed")
    return {"purged": purged, "deleted": deleted}


def _due_for_deletion(after: UUID) -> tuple[list[UUID], UUID | None]:
    with db.as_system("find who left", read_only=True) as tx:
        user_ids = deletion.due(tx, clock.now(), after=after, limit=PEOPLE)
    return user_ids, user_ids[-1] if user_ids else None


def _purge(user_id: UUID) -> bool:
    """Storage first: once the row says that they are forgotten nobody looks there again."""
    bucket = load(NightlySettings).uploads_bucket
    with db.as_system("find what somebody who left has in storage", read_only=True) as tx:
        if not people.has_left(tx, user_id):  # they came back since the list was made
            return False
        objects = people.objects(tx, user_id)
    for each in objects:
        storage.erase(bucket, each.key)
    with db.as_system("forget somebody who left") as tx:
        return deletion.purge(tx, user_id, clock.now())


def _sweep(what: str) -> int:
    with db.as_system(f"sweep {what}") as tx:
        return retention.SWEEPS[what](tx, clock.now())
