"""Decides on uploads: inspects the bytes, then writes the verdict and all its effects in one transaction."""

import hashlib
import io
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aws_lambda_powertools.metrics import MetricUnit
from PIL import Image

from challenges import standings
from challenges.language import AntiCheat, PhotoProof, Rules
from chally import clock, db, outbox
from chally.db import Tx
from chally.log import logger, metrics
from chally.settings import VerdictsSettings, load
from chally.zones import ZoneInfo
from notifications import reminders
from proofs import capture, comparison, malware, overlay, reviews, sandbox, storage
from proofs.comparison import Comparison
from proofs.fingerprints import Fingerprint
from proofs.graphics import Graphic
from proofs.malware import InfectedFile, ScanResult
from proofs.queries import arrivals, duplicates, scans
from proofs.queries.arrivals import Arrival
from proofs.queries.scans import UploadVersion
from proofs.rules.review import APPEAL_PERIOD
from proofs.rules.verdict import (
    Doubt,
    Reason,
    Verdict,
    check_content,
    decide_photo,
    infected_verdict,
    is_comparable,
    too_large,
)
from proofs.unreadable import UnreadableImage


def decide_upload(upload: UploadVersion) -> None:
    """Decide on a version of an upload. Raises `malware.ScannerUnavailable` if it has to wait for its scan."""
    with db.as_system("an upload arrived") as tx:
        # Lock the proof before adding the scan that refers to it, in the same order as a removal.
        arrival = arrivals.mark_arrived(tx, upload)
        scan = scans.record_arrival(tx, upload)
    if isinstance(scan, InfectedFile):
        _reject_infected(arrival, upload, scan)
    elif arrival is None:
        logger.info("nothing_to_decide", key=upload.key, sequencer=upload.sequencer)
    else:
        _decide_arrival(arrival, upload, scan)


def _reject_infected(arrival: Arrival | None, upload: UploadVersion, scan: InfectedFile) -> None:
    """Delete the file, even if its proof has a final verdict, so that it is never served."""
    logger.warning("malware", key=upload.key, version_id=upload.version_id, found=scan.signature)
    metrics.add_metric("MalwareFound", MetricUnit.Count, 1)
    storage.delete_version(load(VerdictsSettings).uploads_bucket, upload.key, upload.version_id)
    if arrival is None:
        return
    now, verdict = clock.now(), infected_verdict(scan.signature)
    with db.as_system("decide on a proof") as tx:
        if not arrivals.save_verdict(tx, arrival.id, verdict, upload, now=now):
            return
        _notify(tx, arrival, verdict, now, can_be_appealed=False)
    _record(arrival, verdict)


def _scan(upload: UploadVersion, data: bytes) -> ScanResult | None:
    """Scan the bytes, and commit the result before anything depends on it."""
    try:
        scan = malware.scan(data)
    except malware.ScannerUnavailable:
        metrics.add_metric("ScanAwaited", MetricUnit.Seconds, (clock.now() - upload.stored_at) / timedelta(seconds=1))
        raise
    if scan is not None:
        with db.as_system("an upload was scanned") as tx:
            scans.record_result(tx, upload.key, upload.version, scan)
    return scan


def _decide_arrival(arrival: Arrival, upload: UploadVersion, scan: ScanResult | None) -> None:
    terms = Rules.model_validate(arrival.rules)
    photo = terms.proof
    assert isinstance(photo, PhotoProof)  # only photos are uploaded
    bucket = load(VerdictsSettings).uploads_bucket
    sandbox.start()  # it loads the decoders while we fetch the file
    data = storage.read_version(bucket, upload.key, upload.version_id, max_bytes=photo.max_bytes)
    if data is None:
        logger.info("upload_missing", proof_id=str(arrival.id))
        with db.as_system("an upload is gone") as tx:
            arrivals.mark_awaiting_upload(tx, arrival.id)
        return
    try:
        scan = scan or _scan(upload, data)
    except malware.ScannerUnavailable:
        # A file that is not a picture is never shown, so its rejection need not wait. Scanners refuse some such files.
        inspection = _inspect(data, arrival, upload, photo, terms.anti_cheat)
        if inspection.variants:
            raise
    else:
        if isinstance(scan, InfectedFile):
            _reject_infected(arrival, upload, scan)
            return
        inspection = _inspect(data, arrival, upload, photo, terms.anti_cheat)
    picture_key = None
    if inspection.picture is not None:
        picture_key = storage.save_picture(bucket, upload.key, upload.sequencer, inspection.picture)
    _decide(arrival, terms, photo, upload, inspection, picture_key)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the checks of a file found, without the database.

    `variants`: the fingerprint of the picture, followed by those of its rotations and reflections; `graphic`: its
    pixels if it is a flat graphic; `picture`: the cleaned copy. A file that could not be read has none of them.
    """

    sha256: bytes
    results: list[Reason | Doubt | None]
    variants: tuple[Fingerprint, ...] = ()
    graphic: Graphic | None = None
    picture: bytes | None = field(default=None, repr=False)


def _inspect(data: bytes, arrival: Arrival, upload: UploadVersion, terms: PhotoProof, checks: AntiCheat) -> Inspection:
    sha256 = hashlib.sha256(data).digest()
    if len(data) > terms.max_bytes:
        return Inspection(sha256, [too_large(terms.max_bytes)])
    try:
        found = sandbox.inspect(data, arrival.content_type, strip_exif=checks.strip_exif, read_codes=checks.overlay)
    except UnreadableImage as error:
        return Inspection(sha256, [Reason(code=error.code, detail=error.detail)])
    results: list[Reason | Doubt | None] = [check_content(found.width, found.height, found.contrast)]
    if checks.overlay:
        key = load(VerdictsSettings).overlay_secret_arn
        tokens = overlay.check_codes(found.codes, key, arrival.participant_id, arrival.local_date)
        results.append(overlay.overlay_reason(tokens))
    if checks.exif_required:
        zones = ZoneInfo(arrival.timezone), ZoneInfo(arrival.account_timezone)
        results.append(
            capture.check_capture_time(found.captured, arrival.opens_at, arrival.closes_at, upload.stored_at, *zones)
        )
    return Inspection(sha256, results, found.variants, Graphic.of(found.luma), found.picture)


def _decide(
    arrival: Arrival,
    terms: Rules,
    photo: PhotoProof,
    upload: UploadVersion,
    inspection: Inspection,
    picture_key: str | None,
) -> None:
    """Write the verdict, the fingerprint, the standing, the reminder and the mails in one transaction."""
    now = clock.now()
    compares = terms.anti_cheat.phash_check
    variants = inspection.variants
    with db.as_system("decide on a proof") as tx:
        duplicates.lock_for_verdict(tx, arrival, inspection.sha256)
        found = Comparison()
        if variants:
            found = comparison.compare(
                tx, arrival, inspection.sha256, variants, inspection.graphic, only_rejected=not compares
            )
        match = found.match
        verdict = decide_photo(
            closes_at=arrival.closes_at, stored_at=upload.stored_at, results=[*inspection.results, found.result]
        )
        if not arrivals.save_verdict(
            tx,
            arrival.id,
            verdict,
            upload,
            picture_key=picture_key,
            picture_size=_size(inspection.picture) if inspection.picture else None,
            match_id=match.proof_id if match else None,
            match_distance=match.distance if match else None,
            now=now,
        ):
            return
        if variants:
            duplicates.save_fingerprint(
                tx,
                arrival,
                inspection.sha256,
                pdq=variants[0].bits,
                quality=variants[0].quality,
                graphic=inspection.graphic.pack() if inspection.graphic else None,
            )
        if verdict.status == "accepted":
            # graphics and pictures of low quality are replaced by the same file only: near ones may show another thing
            surely = compares and inspection.graphic is None and is_comparable(variants[0].quality)
            bits = [variant.bits for variant in variants] if surely else []
            duplicates.replace_earlier(tx, arrival, inspection.sha256, bits, max_per_window=photo.max_per_window)
            standings.record(tx, arrival.participant_id, arrival.local_date, "accepted")
        if verdict.status != "rejected":
            reminders.clear(tx, arrival.participant_id, arrival.local_date, now)
        elsewhere = match is not None and not match.same_challenge
        # a picture that a person rejected is appealed where they did (rules.review.check_appeal)
        own_rejected = match is not None and match.rejected and match.user_id == arrival.user_id
        can_be_appealed = picture_key is not None and not own_rejected
        _notify(tx, arrival, verdict, now, can_be_appealed=can_be_appealed, elsewhere=elsewhere)
    _record(arrival, verdict)


def _size(picture: bytes) -> tuple[int, int]:
    """The width and height of a cleaned picture."""
    with Image.open(io.BytesIO(picture)) as image:
        return image.size


def _notify(
    tx: Tx, arrival: Arrival, verdict: Verdict, now: datetime, *, can_be_appealed: bool, elsewhere: bool = False
) -> None:
    """Mail the participant why a photo was rejected, or the reviewers that a photo needs a review.

    `elsewhere`: the photo is similar to one of another challenge.
    """
    if verdict.status == "needs_review":
        reviews.request_review(tx, arrival.id, arrival.owner_id, arrival.user_id, arrival.title, elsewhere=elsewhere)
    elif verdict.status == "rejected":
        values = {
            "title": arrival.title,
            "reasons": [reason["detail"] for reason in verdict.reasons],
            "closes_at": arrival.closes_at.isoformat() if now < arrival.closes_at else None,
            "timezone": arrival.timezone,
            "appeal_until_at": (now + APPEAL_PERIOD).isoformat() if can_be_appealed else None,
        }
        outbox.add(tx, "mail", {"template": "proof_rejected", "user_id": str(arrival.user_id), "values": values})


_METRICS = {"accepted": "ProofsAccepted", "rejected": "ProofsRejected", "needs_review": "ProofsToReview"}


def _record(arrival: Arrival, verdict: Verdict) -> None:
    codes = [reason["code"] for reason in verdict.reasons]
    logger.info("verdict", proof_id=str(arrival.id), status=verdict.status, reasons=codes)
    metrics.add_metric(_METRICS[verdict.status], MetricUnit.Count, 1)
