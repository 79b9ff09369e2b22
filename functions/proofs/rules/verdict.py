"""The verdict on a proof, and its reasons."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypedDict

from challenges.language import NumberProof, TextProof
from proofs.rules.status import UPLOAD_LIFE

ReasonCode = Literal[
    "not_an_image",
    "too_large",
    "type_mismatch",
    "malware",
    "overlay_missing",
    "overlay_invalid",
    "duplicate_image",
    "exif_missing",
    "exif_time_mismatch",
    "outside_window",
    "below_target",
]
MatchKind = Literal["file", "picture"]

# Meta's recommended start (pdq/README.md, "Matching"): fingerprints at most 31 bits apart show the same picture, and a
# fingerprint with a quality of 49 or less is discarded, because its picture shows too little to tell it from others.
DUPLICATE_DISTANCE = 31
DISCARDED_QUALITY = 49
# Up to this distance a duplicate is certain; from here to 31 bits a person compares the two pictures.
CERTAIN_DISTANCE = 23


class Reason(TypedDict):
    """Why a proof was not accepted: a stable code, and a sentence for the participant."""

    code: ReasonCode
    detail: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """The result of a check that cannot decide: a reviewer may reject the proof for `reason`."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """The status that a proof gets, and why. The reasons of `needs_review` are what the checks could not decide."""

    status: Literal["accepted", "rejected", "needs_review"]
    reasons: list[Reason] = field(default_factory=list)


def decide_photo(*, closes_at: datetime, stored_at: datetime, results: Collection[Reason | Doubt | None]) -> Verdict:
    """The verdict on a photo that reached storage at `stored_at`, given the result of each check (None: passed)."""
    reasons = [result for result in results if result is not None and not isinstance(result, Doubt)]
    if stored_at > closes_at + UPLOAD_LIFE:
        detail = "The upload arrived after your window had closed."
        reasons.insert(0, Reason(code="outside_window", detail=detail))
    if reasons:
        return Verdict("rejected", reasons)
    doubts = [result.reason for result in results if isinstance(result, Doubt)]
    return Verdict("needs_review", doubts) if doubts else Verdict("accepted")


def decide_value(value: str | float, terms: TextProof | NumberProof) -> Verdict:
    """The verdict on a text or a number."""
    target = terms.target if isinstance(terms, NumberProof) else None
    if target is None or isinstance(value, str) or value >= target:
        return Verdict("accepted")
    unit = f" {terms.unit}" if isinstance(terms, NumberProof) and terms.unit else ""
    detail = f"You sent {value:.15g} of {target:.15g}{unit}. Send it again when you reach the target."
    return Verdict("rejected", [Reason(code="below_target", detail=detail)])


def infected_verdict(signature: str) -> Verdict:
    """The verdict on a file in which the virus scanner found `signature`. No other check matters then."""
    detail = f"The virus scanner found {signature} in this file, and we deleted it. Take a new photo and send that."
    return Verdict("rejected", [Reason(code="malware", detail=detail)])


def too_large(max_bytes: int) -> Reason:
    """The reason against a file that is larger than the challenge allows, even if a smaller one was announced."""
    return Reason(code="too_large", detail=f"This challenge accepts files of at most {max_bytes} bytes.")


def is_comparable(quality: int) -> bool:
    """Whether a fingerprint of this quality tells its picture from others."""
    return quality > DISCARDED_QUALITY


def check_duplicate(match: MatchKind | None, distance: int, *, rejected: bool = False) -> Reason | Doubt | None:
    """Compare a photo with the nearest earlier proof: the same file, or a picture `distance` bits away.

    `rejected`: a reviewer rejected that proof.
    """
    if match is None:
        return None
    if rejected and distance <= CERTAIN_DISTANCE:
        detail = "A reviewer has already rejected this photo. Take a new one, or appeal that decision."
        return Reason(code="duplicate_image", detail=detail)
    if match == "file":
        detail = "This exact file was sent as a proof before. Take a new photo."
        return Reason(code="duplicate_image", detail=detail)
    if distance <= CERTAIN_DISTANCE:
        detail = "This photo shows the same picture as an earlier proof. Take a new one."
        return Reason(code="duplicate_image", detail=detail)
    detail = "This photo looks very similar to an earlier proof and needs manual review."
    return Doubt(Reason(code="duplicate_image", detail=detail))
