"""Jobs of privacy: build exports, and purge deleted accounts every night."""

import tempfile
from datetime import timedelta
from typing import Any
from uuid import UUID

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from chally import clock, db, storage
from chally.jobs import Scan, TimeBudget, job
from chally.log import logger, metrics
from chally.settings import ExportsSettings, PurgeSettings, load
from privacy import archive, deletion, exports
from privacy.queries.exports import Export

ACCOUNTS = 100  # read at a time
RESERVE = timedelta(seconds=30)
EXPORT_RESERVE = timedelta(minutes=10)  # a large export takes minutes


@job
def exports_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every minute: build the requested exports, one by one. A failed one is built again when its lease has ended.

    Raises RuntimeError at the end if any failed, which triggers the alarm.
    """
    budget = TimeBudget(context, reserve=EXPORT_RESERVE)
    built = failed = 0
    while True:
        with db.as_system("claim an export") as tx:
            export = exports.claim(tx, clock.now())
        if export is None:
            break
        try:
            _build(export)
            built += 1
        except Exception:
            logger.exception("export_failure", export_id=str(export.id))
            failed += 1
        if not budget.has_time():
            break
    metrics.add_metric("ExportsBuilt", MetricUnit.Count, built)
    logger.info("exports", built=built, failed=failed)
    if failed:
        raise RuntimeError(f"{failed} exports failed")
    return {"built": built}


def _build(export: Export) -> None:
    """Read, write, upload, record. No transaction is open during the upload."""
    settings = load(ExportsSettings)
    with db.as_system("read an export", read_only=True, one_snapshot=True) as tx:
        data = exports.collect(tx, export.user_id)
    if data is None:
        return
    key = exports.new_key(export.id)
    with tempfile.TemporaryFile() as file:
        archive.write(file, data, bucket=settings.uploads_bucket, now=clock.now())
        size = file.tell()
        archive.upload(file, bucket=settings.uploads_bucket, key=key)
    with db.as_system("finish an export") as tx:
        exports.finish(tx, export, object_key=key, size=size, public_url=settings.public_url, now=clock.now())


@job
def purge_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every night: purge accounts that were deleted more than 30 days ago, and delete the rows of old exports.

    Resumable, and safe to repeat. A failure does not stop the rest; RuntimeError at the end triggers the alarm.
    """
    budget = TimeBudget(context, reserve=RESERVE)
    purged = failed = 0
    for accounts in Scan(_load_due, budget):
        for user_id in accounts:
            if not budget.has_time():
                break
            try:
                purged += _purge(user_id)
            except Exception:
                logger.exception("purge_failure", user_id=str(user_id))
                failed += 1
    deleted = 0
    try:
        with db.as_system("delete old exports") as tx:
            deleted = exports.delete_old(tx, clock.now())
    except Exception:
        logger.exception("sweep_failure", sweep="exports")
        failed += 1
    metrics.add_metric("AccountsPurged", MetricUnit.Count, purged)
    logger.info("purge", purged=purged, failed=failed, exports_deleted=deleted)
    if failed:
        raise RuntimeError(f"{failed} parts of the purge failed")
    return {"purged": purged}


def _load_due(after: UUID) -> tuple[list[UUID], UUID | None]:
    with db.as_system("find accounts to purge", read_only=True) as tx:
        accounts = deletion.list_due(tx, clock.now(), after=after, limit=ACCOUNTS)
    return accounts, accounts[-1] if accounts else None


def _purge(user_id: UUID) -> bool:
    """Delete the objects first: once the account's row is purged, no later run looks for them."""
    bucket = load(PurgeSettings).uploads_bucket
    with db.as_system("find the objects of an account", read_only=True) as tx:
        objects = deletion.objects(tx, user_id)
    if objects is None:
        return False
    for each in objects:
        storage.erase(bucket, each.key)
    with db.as_system("purge an account") as tx:
        return deletion.purge(tx, user_id, clock.now())
