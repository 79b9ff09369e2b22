"""What proofs decide: whether one may be sent now, whether an upload is accepted, and why not. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypedDict

from challenges.language import PhotoProof
from challenges.overlay import Finding
from chally.errors import AppError, FieldError, Invalid

Status = Literal["awaiting_upload", "processing", "accepted", "rejected", "needs_review", "replaced"]
ShownStatus = Literal["awaiting_upload", "processing", "accepted", "rejected", "needs_review", "replaced", "expired"]
ReasonCode = Literal[
    "not_an_image",
    "too_large",
    "type_mismatch",
    "overlay_missing",
    "overlay_invalid",
    "duplicate_image",
    "outside_window",
]
UsedBefore = Literal["file", "picture"]

# An upload may begin this long after it was asked for, and so may reach storage this long after its window closed.
UPLOAD_LIFE = timedelta(minutes=10)
# From then on nobody waits for it any more: its URL is dead, and an event would have come.
EXPIRES_AFTER = timedelta(minutes=15)
# Where Meta recommends to start (pdq/README.md, "Matching"): fingerprints at most 31 bits apart are of one picture, and
# one with a quality of 49 or less is discarded, because its picture shows too little to be told from others.
DUPLICATE_DISTANCE = 31
DISCARDED_QUALITY = 49
# Proofs that take a place in their window.
COUNTED: Collection[Status] = ("processing", "accepted", "needs_review")


class WindowClosed(AppError):
    status = 409
    code = "window_closed"
    detail = "No window of yours is open in this challenge now."


class WindowFull(AppError):
    status = 409
    code = "window_full"
    detail = "This window already has its proofs."


class Window(Protocol):
    """When proofs are taken: [opens_at, closes_at)."""

    @property
    def opens_at(self) -> datetime: ...
    @property
    def closes_at(self) -> datetime: ...


class Reason(TypedDict):
    """Why a proof was not accepted: a stable code, and a sentence for the person."""

    code: ReasonCode
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a proof."""

    status: Literal["accepted", "rejected"]
    reasons: list[Reason] = field(default_factory=list)


def check_window[W: Window](window: W | None, challenge_status: str, now: datetime) -> W:
    """The window, if it is open in a running challenge; raises `WindowClosed` otherwise."""
    if challenge_status != "active":
        raise WindowClosed(f"This challenge takes no proofs now: its state is {challenge_status}.")
    if window is None or now >= window.closes_at:
        raise WindowClosed("You have no window in this challenge any more: it is over.")
    if now < window.opens_at:
        raise WindowClosed(f"Your window is not open yet: it opens at {window.opens_at:%Y-%m-%dT%H:%M:%SZ}.")
    return window


def check_room(proofs: Collection[Status], max_per_window: int) -> None:
    """Raise `WindowFull` when the window has its proofs. One that was never uploaded, or rejected, takes no place."""
    if sum(status in COUNTED for status in proofs) >= max_per_window:
        raise WindowFull(
            f"This window takes {max_per_window} and has {'it' if max_per_window == 1 else 'them'} already."
        )


def check_announced(content_type: str, content_length: int, rules: PhotoProof) -> None:
    """Raise `Invalid` for a type or a size (bytes) that the challenge does not take."""
    errors = []
    if content_type not in rules.types:
        message = f"This challenge takes {', '.join(rules.types)}."
        errors.append(FieldError(pointer="/content_type", message=message))
    if content_length > rules.max_bytes:
        message = f"This challenge takes files of at most {rules.max_bytes} bytes."
        errors.append(FieldError(pointer="/content_length", message=message))
    if errors:
        raise Invalid(errors=errors)


def shown_status(status: Status, created_at: datetime, now: datetime) -> ShownStatus:
    """The status as people see it: what was never uploaded expires."""
    if status == "awaiting_upload" and now >= created_at + EXPIRES_AFTER:
        return "expired"
    return status


def too_large(max_bytes: int) -> Reason:
    """For a file that is larger than the challenge allows, whatever was announced."""
    return Reason(code="too_large", detail=f"This challenge takes files of at most {max_bytes} bytes.")


def comparable(quality: int) -> bool:
    """Whether a fingerprint of this quality tells its picture from others."""
    return quality > DISCARDED_QUALITY


def judge_overlay(findings: Collection[Finding]) -> Reason | None:
    """What is wrong with the codes in a photo that must show its window's; None where one is right."""
    if "right" in findings:
        return None
    for finding, detail in _WRONG_OVERLAYS.items():
        if finding in findings:
            return Reason(code="overlay_invalid", detail=detail)
    detail = (
        "We cannot read your window's QR code in this photo. Take a new one with the code in it: whole, sharp, not too "
        "small, and without a reflection on it."
    )
    return Reason(code="overlay_missing", detail=detail)


# The nearest to a right one first.
_WRONG_OVERLAYS: dict[Finding, str] = {
    "of_another_window": "The QR code in this photo is of another day. Load today's, and take a new photo with that.",
    "of_another_participant": "The QR code in this photo was made for somebody else, or for another challenge. Take a "
    "new photo with the one that this challenge shows to you.",
    "forged": "The QR code in this photo is not as we made it. Load your window's, and take a new photo with that.",
}


def decide(
    *,
    closes_at: datetime,
    stored_at: datetime,
    unreadable: Reason | None,
    overlay: Reason | None = None,
    used_before: UsedBefore | None,
) -> Verdict:
    """The verdict on an upload that reached storage at `stored_at`.

    `unreadable` says what is wrong with the file; `overlay`, with the codes in it; `used_before`, whether a former
    proof is the very same file, or shows the same picture.
    """
    reasons: list[Reason] = []
    if stored_at > closes_at + UPLOAD_LIFE:
        detail = "The upload arrived after your window had closed."
        reasons.append(Reason(code="outside_window", detail=detail))
    if unreadable is not None:
        reasons.append(unreadable)
    if overlay is not None:
        reasons.append(overlay)
    if used_before == "file":
        detail = "This very file has been a proof before. Take a new photo."
        reasons.append(Reason(code="duplicate_image", detail=detail))
    elif used_before == "picture":
        detail = "This photo shows the same picture as another proof in this challenge. Take a new one."
        reasons.append(Reason(code="duplicate_image", detail=detail))
    return Verdict("rejected" if reasons else "accepted", reasons)
