"""Jobs of proofs: the verdict on every upload that S3 announces."""

import hashlib
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes import S3EventBridgeNotificationEvent
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from challenges import standings
from challenges.language import PhotoProof, Rules
from chally import clock, db
from chally.log import job, logger, metrics
from chally.settings import VerdictsSettings, load
from notifications import reminders
from proofs import fingerprints, images, rules, storage
from proofs.fingerprints import Fingerprint
from proofs.queries import duplicates, proofs
from proofs.queries.proofs import Arrival
from proofs.rules import Reason, Verdict

_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
@job
def verdicts_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Decide on each upload of a batch of S3 "Object Created" events, which come at least once, late and in any order.

    A bad upload is a rejected proof with its reasons. Only what we ourselves failed to do is answered as a failure, and
    comes again.
    """
    return process_partial_response(event=event, record_handler=_record, processor=_processor, context=context)


def _record(record: SQSRecord) -> None:
    metrics.add_metric("UploadEvents", MetricUnit.Count, 1)
    try:
        _upload(S3EventBridgeNotificationEvent(record.json_body))
    except Exception:
        logger.exception("no verdict; the event will come again", message_id=record.message_id)
        metrics.add_metric("VerdictsFailed", MetricUnit.Count, 1)
        raise


def _upload(event: S3EventBridgeNotificationEvent) -> None:
    key, sequencer = event.detail.object.key, event.detail.object.sequencer
    with db.as_system("an upload arrived") as tx:
        arrival = proofs.take(tx, key, sequencer)
    if arrival is None:
        logger.info("nothing to decide", key=key, sequencer=sequencer)
        return
    terms = Rules.model_validate(arrival.rules)
    photo = terms.proof
    assert isinstance(photo, PhotoProof)  # nothing else is uploaded
    data = storage.read(
        load(VerdictsSettings).uploads_bucket,
        key,
        event.detail.object.get("version-id"),
        max_bytes=photo.max_bytes,
    )
    if data is None:
        logger.info("the upload is gone", proof_id=str(arrival.id))
        with db.as_system("an upload is gone") as tx:
            proofs.put_back(tx, arrival.id)
        return
    unreadable, variants = _look(data, arrival.content_type, photo)
    _decide(arrival, terms, event, hashlib.sha256(data).digest(), unreadable, variants)


def _look(data: bytes, declared_type: str, terms: PhotoProof) -> tuple[Reason | None, tuple[Fingerprint, ...]]:
    """What is wrong with the file; or else its fingerprint, followed by those of its rotations and reflections."""
    if len(data) > terms.max_bytes:
        return rules.too_large(terms.max_bytes), ()
    try:
        photo = images.read(data, declared_type)
    except images.Unreadable as error:
        return Reason(code=error.code, detail=error.detail), ()
    return None, fingerprints.dihedral(photo.luma)


def _decide(
    arrival: Arrival,
    terms: Rules,
    event: S3EventBridgeNotificationEvent,
    sha256: bytes,
    unreadable: Reason | None,
    variants: tuple[Fingerprint, ...],
    capture: Reason | Unsure | None,
) -> None:
    """Verdict, fingerprint, standing and reminder, in one transaction."""
    now = clock.now()
    stored_at = datetime.fromisoformat(event.time)
    compared = [variant.bits for variant in variants if rules.comparable(variant.quality)]
    if not terms.anti_cheat.phash_check:
        compared = []
    with db.as_system("decide on a proof") as tx:
        duplicates.serialise(tx, arrival, sha256)
        match = None if unreadable else duplicates.nearest(tx, arrival, sha256, compared)
        verdict = rules.decide(
            closes_at=arrival.closes_at,
            stored_at=stored_at,
            unreadable=unreadable,
            used_before=match.kind if match else None,
        )
        sequencer = event.detail.object.sequencer
        if not proofs.decide(tx, arrival.id, verdict, sequencer=sequencer, stored_at=stored_at, now=now):
            return
        if verdict.status == "accepted":
            duplicates.add_fingerprint(tx, arrival, sha256, pdq=variants[0].bits, quality=variants[0].quality)
            duplicates.replace_former(tx, arrival, sha256, compared, max_per_window=terms.proof.max_per_window)
            standings.record(tx, arrival.participant_id, arrival.local_date, "accepted")
            reminders.clear(tx, arrival.participant_id, arrival.local_date, now)
    _tell(arrival, verdict)


def _tell(arrival: Arrival, verdict: Verdict) -> None:
    codes = [reason["code"] for reason in verdict.reasons]
    logger.info("verdict", proof_id=str(arrival.id), status=verdict.status, reasons=codes)
    metrics.add_metric("ProofsAccepted" if verdict.status == "accepted" else "ProofsRejected", MetricUnit.Count, 1)
