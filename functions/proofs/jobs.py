"""Jobs of proofs: the verdict on every upload, and the deletion of objects that are no longer needed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes import S3EventBridgeNotificationEvent
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from chally import clock, db, storage
from chally.jobs import TimeBudget, drain_isolated, job
from chally.log import logger, metrics
from chally.settings import RemovalsSettings, load
from proofs import malware, verdicts
from proofs.queries import reviews, scans
from proofs.queries.scans import UploadVersion
from proofs.rules.status import EXPIRES_AFTER
from proofs.sandbox import CLOCK_SECONDS

REMOVALS = 100
# A run starts no further batch with less time left than this; the next run continues.
RESERVE = timedelta(seconds=15)
# An upload needs at most this long: to fetch it, scan it, read it within its limits, and write the verdict.
UPLOAD_TIME = timedelta(seconds=CLOCK_SECONDS + malware.CLAMD_SECONDS + 5)

_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@job
def verdicts_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Decide on each upload of a batch of events: S3's "Object Created" and GuardDuty's scan results, which arrive
    at least once, late and in any order.

    A bad upload becomes a rejected proof with its reasons. Only our own failures are reported to SQS, which redelivers
    those events, and events for which there is no time left.
    """
    budget = TimeBudget(context, reserve=UPLOAD_TIME)

    def handle(record: SQSRecord) -> None:
        if not budget.has_time():
            logger.warning("verdict_postponed", message_id=record.message_id)
            raise OutOfTime
        _record(record)

    return process_partial_response(event=event, record_handler=handle, processor=_processor, context=context)


class OutOfTime(Exception):
    """Lambda could stop this run before the upload is decided, and would then redeliver the whole batch."""


def _record(record: SQSRecord) -> None:
    metrics.add_metric("UploadEvents", MetricUnit.Count, 1)
    try:
        event = record.json_body
        if event.get("source") == malware.GUARDDUTY:
            _handle_scan(malware.GuardDutyResult.of(event))
        else:
            _handle_upload(S3EventBridgeNotificationEvent(event))
    except malware.ScannerUnavailable as error:  # SQS redelivers the event
        logger.info("scan_pending", reason=str(error))
        raise
    except Exception:
        logger.exception("verdict_failed", message_id=record.message_id)
        metrics.add_metric("VerdictsFailed", MetricUnit.Count, 1)
        raise


def _handle_upload(event: S3EventBridgeNotificationEvent) -> None:
    uploaded = event.detail.object
    stored_at = datetime.fromisoformat(event.time)
    verdicts.decide_upload(UploadVersion(uploaded.key, uploaded.get("version-id"), uploaded.sequencer, stored_at))


def _handle_scan(result: malware.GuardDutyResult) -> None:
    if result.scan is None:
        # S3's event is redelivered until it is a dead letter, unless the object is scanned again.
        logger.error("scan_failed", key=result.key, version_id=result.version_id, reason=result.reason)
        return
    with db.as_system("an upload was scanned") as tx:
        upload = scans.record_result(tx, result.key, result.version_id, result.scan)
    if upload is not None:
        verdicts.decide_upload(upload)


@job
def removals_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every hour: delete the objects of removed proofs from storage. Safe to repeat.

    It waits until the upload URL has expired and any verdict in progress is done, as both could write the object again.
    """
    budget = TimeBudget(context, reserve=RESERVE)
    removed = drain_isolated(_find_objects, _remove_objects, task="remove objects", budget=budget)
    metrics.add_metric("ObjectsRemoved", MetricUnit.Count, removed)
    logger.info("removals", removed=removed)
    return {"removed": removed}


def _find_objects(broken: list[str]) -> list[str]:
    with db.as_system("find objects to delete", read_only=True) as tx:
        return reviews.list_removals(tx, clock.now() - EXPIRES_AFTER, REMOVALS, without=broken)


def _remove_objects(keys: Sequence[str]) -> int:
    bucket = load(RemovalsSettings).uploads_bucket
    for key in keys:
        storage.erase(bucket, key)
        with db.as_system("an object is deleted") as tx:
            reviews.delete_removal(tx, key)
    return len(keys)
