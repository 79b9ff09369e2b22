"""Jobs of proofs: the verdict on every upload that S3 announces."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes import S3EventBridgeNotificationEvent
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from challenges import standings
from challenges.language import Rules
from chally import clock, db
from chally.log import job, logger, metrics
from chally.settings import VerdictsSettings, load
from notifications import reminders
from proofs import fingerprints, images, overlay, queries, rules, storage
from proofs.fingerprints import Fingerprint
from proofs.queries import Arrival
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
        arrival = queries.take(tx, key, sequencer)
    if arrival is None:
        logger.info("nothing to decide", key=key, sequencer=sequencer)
        return
    terms = Rules.model_validate(arrival.rules)
    data = storage.read(
        load(VerdictsSettings).uploads_bucket,
        key,
        event.detail.object.get("version-id"),
        max_bytes=terms.proof.max_bytes,
    )
    if data is None:
        logger.info("the upload is gone", proof_id=str(arrival.id))
        with db.as_system("an upload is gone") as tx:
            queries.put_back(tx, arrival.id)
        return
    _decide(arrival, terms, event, hashlib.sha256(data).digest(), _look(data, arrival, terms))


@dataclass(frozen=True, slots=True)
class Looks:
    """What is wrong with the file; or else with the codes in it, and its fingerprint, followed by those of its
    rotations and reflections.
    """

    unreadable: Reason | None = None
    overlay: Reason | None = None
    variants: tuple[Fingerprint, ...] = ()


def _look(data: bytes, arrival: Arrival, terms: Rules) -> Looks:
    if len(data) > terms.proof.max_bytes:
        return Looks(rules.too_large(terms.proof.max_bytes))
    try:
        photo = images.read(data, arrival.content_type, legible=terms.anti_cheat.overlay)
    except images.Unreadable as error:
        return Looks(Reason(code=error.code, detail=error.detail))
    wrong = None
    if photo.legible is not None:
        key = load(VerdictsSettings).overlay_secret_arn
        wrong = rules.judge_overlay(overlay.look(photo.legible, key, arrival.participant_id, arrival.local_date))
    return Looks(overlay=wrong, variants=fingerprints.dihedral(photo.luma))


def _decide(
    arrival: Arrival,
    terms: Rules,
    event: S3EventBridgeNotificationEvent,
    sha256: bytes,
    looks: Looks,
) -> None:
    """Verdict, fingerprint, standing and reminder, in one transaction."""
    now = clock.now()
    stored_at = datetime.fromisoformat(event.time)
    compared = [variant.bits for variant in looks.variants if rules.comparable(variant.quality)]
    if not terms.anti_cheat.phash_check:
        compared = []
    with db.as_system("decide on a proof") as tx:
        queries.serialise(tx, arrival.challenge_id, sha256)
        verdict = rules.decide(
            closes_at=arrival.closes_at,
            stored_at=stored_at,
            unreadable=looks.unreadable,
            overlay=looks.overlay,
            used_before=None if looks.unreadable else queries.used_before(tx, arrival, sha256, compared),
        )
        sequencer = event.detail.object.sequencer
        if not queries.decide(tx, arrival.id, verdict, sequencer=sequencer, stored_at=stored_at, now=now):
            return
        if verdict.status == "accepted":
            queries.add_fingerprint(tx, arrival, sha256, pdq=looks.variants[0].bits, quality=looks.variants[0].quality)
            queries.replace_former(tx, arrival, sha256, compared, max_per_window=terms.proof.max_per_window)
            standings.record(tx, arrival.participant_id, arrival.local_date, "accepted")
            reminders.clear(tx, arrival.participant_id, arrival.local_date, now)
    _tell(arrival, verdict)


def _tell(arrival: Arrival, verdict: Verdict) -> None:
    codes = [reason["code"] for reason in verdict.reasons]
    logger.info("verdict", proof_id=str(arrival.id), status=verdict.status, reasons=codes)
    metrics.add_metric("ProofsAccepted" if verdict.status == "accepted" else "ProofsRejected", MetricUnit.Count, 1)
