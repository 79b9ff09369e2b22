"""Verdicts: what becomes of an upload. Its bytes are looked at, then all that follows is written in one transaction."""

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

from aws_lambda_powertools.metrics import MetricUnit

from challenges import standings
from challenges.language import AntiCheat, PhotoProof, Rules
from chally import clock, db, outbox
from chally.db import Tx
from chally.log import logger, metrics
from chally.settings import VerdictsSettings, load
from notifications import reminders
from proofs import capture, derivatives, fingerprints, images, malware, metadata, overlay, reviews, rules, storage
from proofs.fingerprints import Fingerprint
from proofs.malware import Finding, Infected
from proofs.queries import arrivals, duplicates, scans
from proofs.queries.arrivals import Arrival
from proofs.queries.scans import Stored
from proofs.rules import Reason, Unsure, Verdict


def upload(stored: Stored) -> None:
    """Decide on a version of an upload, as far as that can be done now. Raises `malware.Unavailable`."""
    with db.as_system("an upload arrived") as tx:
        # the proof is held before its scan refers to it: who takes it back holds it as well
        arrival = arrivals.take(tx, stored)
        finding = scans.arrived(tx, stored)
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
        if not arrivals.decide(tx, arrival.id, verdict, stored, now=clock.now()):
            return
        _notify(tx, arrival, verdict, can_be_seen=False)
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
            scans.found(tx, stored.key, stored.version, finding)
    return finding


def _read(arrival: Arrival, stored: Stored, finding: Finding | None) -> None:
    terms = Rules.model_validate(arrival.rules)
    photo = terms.proof
    assert isinstance(photo, PhotoProof)  # nothing else is uploaded
    bucket = load(VerdictsSettings).uploads_bucket
    data = storage.read(bucket, stored.key, stored.version_id, max_bytes=photo.max_bytes)
    if data is None:
        logger.info("the upload is gone", proof_id=str(arrival.id))
        with db.as_system("an upload is gone") as tx:
            arrivals.put_back(tx, arrival.id)
        return
    try:
        finding = finding or _scan(stored, data)
    except malware.Unavailable:
        # what is no picture is never shown, so it need not wait: a scanner may have no word for it at all
        looked = _look(data, arrival, stored, photo, terms.anti_cheat)
        if looked.variants:
            raise
    else:
        if isinstance(finding, Infected):
            _infected(arrival, stored, finding)
            return
        looked = _look(data, arrival, stored, photo, terms.anti_cheat)
    picture_key = None
    if looked.picture is not None:
        picture_key = storage.keep_picture(bucket, stored.key, stored.sequencer, looked.picture)
    _decide(arrival, terms, photo, stored, looked, picture_key)


@dataclass(frozen=True, slots=True)
class Looked:
    """What was seen in a file: what speaks against it; the fingerprint of its picture, followed by those of its
    rotations and reflections; the cleaned picture. There is none of either where it could not be read.
    """

    sha256: bytes
    found: list[Reason | Unsure | None]
    variants: tuple[Fingerprint, ...] = ()
    picture: bytes | None = field(default=None, repr=False)


def _look(data: bytes, arrival: Arrival, stored: Stored, terms: PhotoProof, checks: AntiCheat) -> Looked:
    sha256 = hashlib.sha256(data).digest()
    if len(data) > terms.max_bytes:
        return Looked(sha256, [rules.too_large(terms.max_bytes)])
    declared_type = arrival.content_type
    found: list[Reason | Unsure | None] = []
    try:
        photo = images.read(data, declared_type, legible=checks.overlay)
        variants = fingerprints.dihedral(photo.luma)
        if photo.legible is not None:
            key = load(VerdictsSettings).overlay_secret_arn
            codes = overlay.look(photo.legible, key, arrival.participant_id, arrival.local_date)
            found.append(overlay.judge(codes))
        picture = derivatives.derivative(data, declared_type, strip_exif=checks.strip_exif)
        if checks.exif_required:
            captured = metadata.captured(data, declared_type)
            zone = ZoneInfo(arrival.timezone)
            found.append(capture.check(captured, arrival.opens_at, arrival.closes_at, stored.stored_at, zone))
    except images.Unreadable as error:
        return Looked(sha256, [Reason(code=error.code, detail=error.detail)])
    return Looked(sha256, found, variants, picture)


def _decide(
    arrival: Arrival, terms: Rules, photo: PhotoProof, stored: Stored, looked: Looked, picture_key: str | None
) -> None:
    """Verdict, fingerprint, standing, reminder and mails, in one transaction."""
    now = clock.now()
    compares = terms.anti_cheat.phash_check
    compared = [variant.bits for variant in looked.variants if compares and rules.comparable(variant.quality)]
    with db.as_system("decide on a proof") as tx:
        duplicates.serialise(tx, arrival, looked.sha256)
        match = None
        if looked.variants:
            match = duplicates.nearest(tx, arrival, looked.sha256, compared, only_rejected=not compares)
        duplicate = rules.check_duplicate(match.kind, match.distance, rejected=match.rejected) if match else None
        verdict = rules.decide(
            closes_at=arrival.closes_at, stored_at=stored.stored_at, found=[*looked.found, duplicate]
        )
        if not arrivals.decide(
            tx,
            arrival.id,
            verdict,
            stored,
            picture_key=picture_key,
            match_id=match.proof_id if match else None,
            match_distance=match.distance if match else None,
            now=now,
        ):
            return
        if looked.variants:
            first = looked.variants[0]
            duplicates.keep_fingerprint(tx, arrival, looked.sha256, pdq=first.bits, quality=first.quality)
        if verdict.status == "accepted":
            duplicates.replace_former(tx, arrival, looked.sha256, compared, max_per_window=photo.max_per_window)
            standings.record(tx, arrival.participant_id, arrival.local_date, "accepted")
        if verdict.status != "rejected":
            reminders.clear(tx, arrival.participant_id, arrival.local_date, now)
        elsewhere = match is not None and not match.same_challenge
        _notify(tx, arrival, verdict, can_be_seen=picture_key is not None, elsewhere=elsewhere)
    _tell(arrival, verdict)


def _notify(tx: Tx, arrival: Arrival, verdict: Verdict, *, can_be_seen: bool, elsewhere: bool = False) -> None:
    """Mails: why a photo was rejected, to its participant; that one waits for a review, to who may see what that takes.

    `can_be_seen`: there is a picture to look at, without which nobody appeals; `elsewhere`: it is like one of another
    challenge.
    """
    if verdict.status == "needs_review":
        reviews.ask_for_review(tx, arrival.id, arrival.owner_id, arrival.user_id, arrival.title, elsewhere=elsewhere)
    elif verdict.status == "rejected":
        closes = arrival.closes_at.astimezone(ZoneInfo(arrival.timezone))
        values = {
            "title": arrival.title,
            "reasons": "\n".join(f"- {reason['detail']}" for reason in verdict.reasons),
            "closes": f"{closes:%H:%M on %Y-%m-%d}",
            "timezone": arrival.timezone,
            "appeal": reviews.MAY_APPEAL if can_be_seen else "",
        }
        outbox.add(tx, "mail", {"template": "proof_rejected", "user_id": str(arrival.user_id), "values": values})


_METRICS = {"accepted": "ProofsAccepted", "rejected": "ProofsRejected", "needs_review": "ProofsToReview"}


def _tell(arrival: Arrival, verdict: Verdict) -> None:
    codes = [reason["code"] for reason in verdict.reasons]
    logger.info("verdict", proof_id=str(arrival.id), status=verdict.status, reasons=codes)
    metrics.add_metric(_METRICS[verdict.status], MetricUnit.Count, 1)
