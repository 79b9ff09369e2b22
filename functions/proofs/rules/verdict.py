"""The verdict on a proof, and its reasons."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypedDict
from uuid import UUID

from challenges.language import NumberProof, TextProof
from chally.errors import AppError
from chally.text import visible
from proofs.rules.status import UPLOAD_LIFE

ReasonCode = Literal[
    "not_an_image",
    "too_large",
    "type_mismatch",
    "damaged",
    "blank_image",
    "malware",
    "overlay_missing",
    "overlay_invalid",
    "duplicate_image",
    "exif_missing",
    "exif_time_mismatch",
    "outside_window",
    "below_target",
    "rejected_before",
]
MatchKind = Literal["file", "picture"]

# Meta's recommended start (pdq/README.md, "Matching"): fingerprints at most 31 bits apart show the same picture, and
# one with a quality of 49 or less shows too little to tell it from others. Meta discards those. Here a person looks at
# near ones, because a photo without its contrast has such a quality, and the same bits.
DUPLICATE_DISTANCE = 31
DISCARDED_QUALITY = 49
# Up to this distance a duplicate is certain; from here to 31 bits a person compares the two pictures.
CERTAIN_DISTANCE = 23

# A picture with a smaller side cannot be told from others.
SMALLEST_SIDE = 32
# The differences of brightness or colour (0 to 255) in a picture that shows nothing: a covered lens, a blank page.
BLANK_CONTRAST = 8


class RejectedBefore(AppError):
    status = 409
    code = "rejected_before"
    detail = "A person has already rejected the same text or number. Send something else, or appeal that decision."


class Reason(TypedDict):
    """Why a proof was not accepted: a stable code, and a sentence for the participant."""

    code: ReasonCode
    detail: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """The result of a check that cannot decide: a reviewer may reject the proof for `reason`."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class ReviewedValue:
    """A text or a number on which a person decided; `same_window`: it was sent for the window in question."""

    proof_id: UUID
    value: str | float
    same_window: bool
    rejected: bool


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


def check_rejected_before(value: str | float, reviewed: Iterable[ReviewedValue]) -> Doubt | None:
    """Compare a text or a number with what a person decided on the participant's earlier ones, the newest first.

    Raise `RejectedBefore` if a person rejected it for the same window. A text that was rejected in another window may
    be true today: it is for a person to say, unless a person has accepted it since. A number says nothing about
    another day.
    """
    for earlier in reviewed:
        if _comparable(earlier.value) != _comparable(value):
            continue
        if earlier.same_window and earlier.rejected:
            raise RejectedBefore(
                f"A person has already rejected this (your proof {earlier.proof_id}). Send something else, or appeal"
                " that decision."
            )
        if isinstance(value, str):
            if not earlier.rejected:
                return None
            detail = "A person rejected this text when you sent it for another day, so a person will look at it."
            return Doubt(Reason(code="rejected_before", detail=detail))
    return None


# What changes how characters look and not what they say: marks around and over them that make no letter with them,
# selectors of a variant, apostrophes and accents that stand alone.
_ORNAMENTS = re.compile(
    r"\s*[\u0300-\u036f\u0488\u0489\u180b-\u180d\u180f\u1abe\u20d0-\u20ff\ufe00-\ufe0f\U000e0100-\U000e01ef]"
    "|[\u02b9-\u02df\u02e5-\u02ff^`\u00a8\u00af\u00b4\u00b8]"
)


def _comparable(value: str | float) -> str | float:
    """The same for texts that differ only in case, spaces, punctuation, or in how characters are written."""
    if not isinstance(value, str):
        return value
    text = _ORNAMENTS.sub("", unicodedata.normalize("NFKC", visible(value)).casefold())
    letters = "".join(each for each in text if unicodedata.category(each)[0] not in "ZPC")
    return letters or "".join(text.split())


def decide_value(value: str | float, terms: TextProof | NumberProof, doubt: Doubt | None = None) -> Verdict:
    """The verdict on a text or a number; `doubt`: what a person has to decide about it."""
    target = terms.target if isinstance(terms, NumberProof) else None
    if target is None or isinstance(value, str) or value >= target:
        return Verdict("needs_review", [doubt.reason]) if doubt else Verdict("accepted")
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


def check_content(width: int, height: int, contrast: int) -> Reason | None:
    """The reason against a picture that shows nothing: too small, or all of one colour."""
    if min(width, height) < SMALLEST_SIDE:
        detail = f"This picture has only {width} by {height} pixels. Send the photo in its original size."
        return Reason(code="blank_image", detail=detail)
    if contrast < BLANK_CONTRAST:
        detail = (
            "This picture shows nothing: it is all of one colour. Take a new one in good light, with nothing over the"
            " lens."
        )
        return Reason(code="blank_image", detail=detail)
    return None


def is_comparable(quality: int) -> bool:
    """Whether a fingerprint of this quality tells its picture from others; if not, a person compares near ones."""
    return quality > DISCARDED_QUALITY


def check_duplicate(
    match: MatchKind | None,
    distance: int,
    *,
    rejected: bool = False,
    comparable: bool = True,
    look: Literal["same", "different", "unclear"] | None = None,
) -> Reason | Doubt | None:
    """Compare a photo with an earlier proof: the same file, or a picture `distance` bits away.

    `rejected`: a reviewer rejected that proof. `comparable`: both fingerprints are. `look`: if both are flat graphics,
    what a second look at their pixels found (`proofs.graphics`).
    """
    if match is None or (match == "picture" and look == "different"):
        return None
    certain = match == "file" or (distance <= CERTAIN_DISTANCE and comparable and look != "unclear")
    if rejected and certain:
        detail = "A reviewer has already rejected this photo. Take a new one, or appeal that decision."
        return Reason(code="duplicate_image", detail=detail)
    if match == "file":
        detail = "This exact file was sent as a proof before. Take a new photo."
        return Reason(code="duplicate_image", detail=detail)
    if certain:
        detail = "This photo shows the same picture as an earlier proof. Take a new one."
        return Reason(code="duplicate_image", detail=detail)
    detail = "This photo looks very similar to an earlier proof and needs manual review."
    return Doubt(Reason(code="duplicate_image", detail=detail))
