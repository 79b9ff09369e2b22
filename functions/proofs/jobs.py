"""Jobs of proofs: the verdict on every upload, and the deletion of what nobody needs any more."""

from datetime import datetime
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes import S3EventBridgeNotificationEvent
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from chally import clock, db, storage
from chally.log import job, logger, metrics
from chally.settings import RemovalsSettings, load
from proofs import malware, rules, verdicts
from proofs.queries import reviews, scans
from proofs.queries.scans import Stored

REMOVALS = 100
# Left for the next run when less of the function's time than this remains (milliseconds).
RESERVE = 15_000

_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
@job
def verdicts_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Decide on each upload of a batch of events: S3's "Object Created" and GuardDuty's scan results, which come at
    least once, late and in any order.

    A bad upload is a rejected proof with its reasons. Only what we ourselves failed to do is answered as a failure, and
    comes again.
    """
    return process_partial_response(event=event, record_handler=_record, processor=_processor, context=context)


def _record(record: SQSRecord) -> None:
    metrics.add_metric("UploadEvents", MetricUnit.Count, 1)
    try:
        event = record.json_body
        if event.get("source") == malware.GUARDDUTY:
            _scanned(malware.Result.of(event))
        else:
            _announced(S3EventBridgeNotificationEvent(event))
    except malware.Unavailable as error:
        logger.info("waits for the virus scanner; the event will come again", reason=str(error))
        raise
    except Exception:
        logger.exception("no verdict; the event will come again", message_id=record.message_id)
        metrics.add_metric("VerdictsFailed", MetricUnit.Count, 1)
        raise


def _announced(event: S3EventBridgeNotificationEvent) -> None:
    uploaded = event.detail.object
    stored_at = datetime.fromisoformat(event.time)
    verdicts.upload(Stored(uploaded.key, uploaded.get("version-id"), uploaded.sequencer, stored_at))


def _scanned(result: malware.Result) -> None:
    if result.finding is None:
        # S3's event goes on waiting, and ends as a dead letter where nobody has it scanned again
        logger.error("not scanned", key=result.key, version_id=result.version_id, reason=result.reason)
        return
    with db.as_system("an upload was scanned") as tx:
        stored = scans.found(tx, result.key, result.version_id, result.finding)
    if stored is not None:
        verdicts.upload(stored)


@metrics.log_metrics(raise_on_empty_metrics=False)
@logger.inject_lambda_context(clear_state=True)
@job
def removals_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every hour: delete from storage what belonged to proofs that were taken back. Safe to repeat.

    Not before the URL of its upload is dead, and what was being decided on is: either might put something there anew.
    """
    bucket = load(RemovalsSettings).uploads_bucket
    removed = 0
    keys = [""] * REMOVALS
    while len(keys) == REMOVALS and context.get_remaining_time_in_millis() > RESERVE:
        with db.as_system("find objects to delete", read_only=True) as tx:
            keys = reviews.removals(tx, clock.now() - rules.EXPIRES_AFTER, REMOVALS)
        for key in keys:
            storage.erase(bucket, key)
            with db.as_system("an object is deleted") as tx:
                reviews.removed(tx, key)
            removed += 1
    metrics.add_metric("ObjectsRemoved", MetricUnit.Count, removed)
    logger.info("removals", removed=removed)
    return {"removed": removed}
