"""Jobs of proofs: the verdict on every upload that S3 announces."""

import hashlib
from datetime import datetime, timedelta
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
from proofs import fingerprints, images, malware, queries, rules, scans, storage
from proofs.fingerprints import Fingerprint
from proofs.malware import Finding, Infected
from proofs.queries import Arrival
from proofs.rules import Reason, Verdict
from proofs.scans import Stored

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
    _upload(Stored(uploaded.key, uploaded.get("version-id"), uploaded.sequencer, datetime.fromisoformat(event.time)))


def _scanned(result: malware.Result) -> None:
    if result.finding is None:
        # S3's event goes on waiting, and ends as a dead letter where nobody has it scanned again
        logger.error("not scanned", key=result.key, version_id=result.version_id, reason=result.reason)
        return
    with db.as_system("an upload was scanned") as tx:
        stored = scans.found(tx, result.key, result.version_id, result.finding)
    if stored is not None:
        _upload(stored)


def _upload(stored: Stored) -> None:
    """Decide on a version of an upload, as far as that can be done now. Raises `malware.Unavailable`."""
    with db.as_system("an upload arrived") as tx:
        finding = scans.arrived(tx, stored)
        arrival = queries.take(tx, stored.key, stored.sequencer)
    if isinstance(finding, Infected):
        _infected(arrival, stored, finding)
    elif arrival is None:
        logger.info("nothing to decide", key=stored.key, sequencer=stored.sequencer)
    else:
        _read(arrival, stored, finding)


def _infected(arrival: Arrival | None, stored: Stored, finding: Infected) -> None:
    """The file goes, also where it was decided on before: nobody is ever served it."""
    logger.warning("malware", key=stored.key, version_id=stored.version_id, found=finding.signature)
    metrics.add_metric("MalwareFound", MetricUnit.Count, 1)
    storage.delete(load(VerdictsSettings).uploads_bucket, stored.key, stored.version_id)
    if arrival is None:
        return
    verdict = rules.infected(finding.signature)
    with db.as_system("decide on a proof") as tx:
        decided = queries.decide(
            tx, arrival.id, verdict, sequencer=stored.sequencer, stored_at=stored.stored_at, now=clock.now()
        )
    if decided:
        _tell(arrival, verdict)


def _scan(stored: Stored, data: bytes) -> Finding | None:
    """Ask the scanner, and write down what it found before anything follows from it."""
    try:
        finding = malware.scan(data)
    except malware.Unavailable:
        metrics.add_metric("ScanAwaited", MetricUnit.Seconds, (clock.now() - stored.stored_at) / timedelta(seconds=1))
        raise
    if finding is not None:
        with db.as_system("an upload was scanned") as tx:
            scans.found(tx, stored.key, stored.version_id or stored.sequencer, finding)
    return finding


def _read(arrival: Arrival, stored: Stored, finding: Finding | None) -> None:
    terms = Rules.model_validate(arrival.rules)
    data = storage.read(
        load(VerdictsSettings).uploads_bucket, stored.key, stored.version_id, max_bytes=terms.proof.max_bytes
    )
    if data is None:
        logger.info("the upload is gone", proof_id=str(arrival.id))
        with db.as_system("an upload is gone") as tx:
            queries.put_back(tx, arrival.id)
        return
    finding = finding or _scan(stored, data)
    if isinstance(finding, Infected):
        _infected(arrival, stored, finding)
        return
    unreadable, variants = _look(data, arrival.content_type, terms)
    _decide(arrival, terms, stored, hashlib.sha256(data).digest(), unreadable, variants)


def _look(data: bytes, declared_type: str, terms: Rules) -> tuple[Reason | None, tuple[Fingerprint, ...]]:
    """What is wrong with the file; or else its fingerprint, followed by those of its rotations and reflections."""
    if len(data) > terms.proof.max_bytes:
        return rules.too_large(terms.proof.max_bytes), ()
    try:
        photo = images.read(data, declared_type)
    except images.Unreadable as error:
        return Reason(code=error.code, detail=error.detail), ()
    return None, fingerprints.dihedral(photo.luma)


def _decide(
    arrival: Arrival,
    terms: Rules,
    stored: Stored,
    sha256: bytes,
    unreadable: Reason | None,
    variants: tuple[Fingerprint, ...],
) -> None:
    """Verdict, fingerprint, standing and reminder, in one transaction."""
    now = clock.now()
    compared = [variant.bits for variant in variants if rules.comparable(variant.quality)]
    if not terms.anti_cheat.phash_check:
        compared = []
    with db.as_system("decide on a proof") as tx:
        queries.serialise(tx, arrival.challenge_id, sha256)
        verdict = rules.decide(
            closes_at=arrival.closes_at,
            stored_at=stored.stored_at,
            unreadable=unreadable,
            used_before=None if unreadable else queries.used_before(tx, arrival, sha256, compared),
        )
        if not queries.decide(tx, arrival.id, verdict, sequencer=stored.sequencer, stored_at=stored.stored_at, now=now):
            return
        if verdict.status == "accepted":
            queries.add_fingerprint(tx, arrival, sha256, pdq=variants[0].bits, quality=variants[0].quality)
            queries.replace_former(tx, arrival, sha256, compared, max_per_window=terms.proof.max_per_window)
            standings.record(tx, arrival.participant_id, arrival.local_date, "accepted")
            reminders.clear(tx, arrival.participant_id, arrival.local_date, now)
    _tell(arrival, verdict)


def _tell(arrival: Arrival, verdict: Verdict) -> None:
    codes = [reason["code"] for reason in verdict.reasons]
    logger.info("verdict", proof_id=str(arrival.id), status=verdict.status, reasons=codes)
    metrics.add_metric("ProofsAccepted" if verdict.status == "accepted" else "ProofsRejected", MetricUnit.Count, 1)
