"""What proofs decide: whether one may be sent now, whether an upload is accepted, and why not. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypedDict
from uuid import UUID

from challenges.language import NumberProof, PhotoProof, TextProof
from challenges.rules import UPLOAD_TIMEOUT
from chally.errors import AppError, FieldError, InvalidRequest

Status = Literal["awaiting_upload", "processing", "accepted", "rejected", "needs_review", "replaced"]
Kind = Literal["photo", "text", "number"]
ShownStatus = Literal["awaiting_upload", "processing", "accepted", "rejected", "needs_review", "replaced", "expired"]
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
Decision = Literal["accept", "reject"]
UsedBefore = Literal["file", "picture"]

# An upload may begin this long after it was asked for, and so may reach storage this long after its window closed.
UPLOAD_LIFE = timedelta(minutes=10)
# From then on nobody waits for it any more: its URL is dead, and an event would have come.
EXPIRES_AFTER = UPLOAD_TIMEOUT
# Where Meta recommends to start (pdq/README.md, "Matching"): fingerprints at most 31 bits apart are of one picture, and
# one with a quality of 49 or less is discarded, because its picture shows too little to be told from others.
DUPLICATE_DISTANCE = 31
# Up to here we are sure; from there on to 31 bits a person looks at both.
CERTAIN_DISTANCE = 23
DISCARDED_QUALITY = 49
MAX_NUMBER = 10**12
# What one person's photos may take in storage: each is kept for 30 days (infra/storage.py).
STORAGE_QUOTA = 2**30
STORED_FOR = timedelta(days=30)
# How long after its verdict a proof may be appealed.
APPEALS_FOR = timedelta(days=7)
# Versions of one upload that are decided on.
MAX_VERSIONS = 5
# Proofs that take a place in their window.
COUNTED: Collection[Status] = ("processing", "accepted", "needs_review")


class WindowClosed(AppError):
    status = 409
    code = "window_closed"
    detail = "No window of yours is open in this challenge now."


class NotDecided(AppError):
    status = 409
    code = "not_decided"
    detail = "There is no verdict on this proof yet."


class WindowFull(AppError):
    status = 409
    code = "window_full"
    detail = "This window already has its proofs."


class NotReviewable(AppError):
    status = 409
    code = "not_reviewable"
    detail = "This proof cannot be reviewed now."


class OwnProof(AppError):
    status = 403
    code = "own_proof"
    detail = "Nobody reviews their own proof: the owner of the challenge does, or a moderator."


class NotReviewer(AppError):
    status = 403
    code = "not_reviewer"
    detail = "Only the owner of the challenge, or a moderator, may review its proofs."


class OwnDecision(AppError):
    status = 403
    code = "own_decision"
    detail = "This is an appeal against your own decision. You can accept the proof; only a moderator can reject it."


class ModeratorDecided(AppError):
    status = 403
    code = "moderator_decided"
    detail = "A moderator has decided on this proof. Only a moderator can decide otherwise."


class NotAppealable(AppError):
    status = 409
    code = "not_appealable"
    detail = "Only a proof that was rejected can be appealed."


class AppealedAlready(AppError):
    status = 409
    code = "appealed_already"
    detail = "You have appealed this already, which one can do once. What the review says stays."


class StorageFull(AppError):
    status = 409
    code = "storage_full"
    detail = (
        "Your photos of the last 30 days, with those announced in the last 15 minutes, fill the 1 GiB that you have."
        " Send a smaller one, or wait: what was never sent is free again in 15 minutes, the oldest photos day by day."
    )


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
class Unsure:
    """A check that cannot tell. `reason`: what it would be a rejection for, if a person finds so."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a proof, and why. One that needs a review says what the checks were unsure of."""

    status: Literal["accepted", "rejected", "needs_review"]
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


def check_room(proofs: Collection[ShownStatus], max_per_window: int) -> None:
    """Raise `WindowFull` when no other may be sent for a window. One never uploaded, or rejected, takes no place."""
    if sum(status in COUNTED for status in proofs) >= max_per_window:
        raise _full(max_per_window, "To send another, take one back first (DELETE /v1/proofs/{id}).")


def check_room_to_accept(proofs: Collection[Status], max_per_window: int) -> None:
    """Raise `WindowFull` when the others of a window that were accepted leave no place for one more."""
    if list(proofs).count("accepted") >= max_per_window:
        raise _full(max_per_window, "To accept this one, reject another of them first.")


def _full(max_per_window: int, advice: str) -> WindowFull:
    them = "it" if max_per_window == 1 else "them"
    return WindowFull(f"This window takes {max_per_window} and has {them} already. {advice}")


def check_fields(sent: Collection[str], rules: PhotoProof | TextProof | NumberProof) -> None:
    """Raise `InvalidRequest` when what was sent is of another kind than what the challenge takes, or not all of it."""
    of_a_photo = {"content_type", "content_length", "sha256"}
    wanted = of_a_photo if rules.kind == "photo" else {"value"}
    foreign = {"value"} if rules.kind == "photo" else of_a_photo | {"captured_at"}
    takes = f"This challenge takes a {rules.kind}"
    errors = [
        *(FieldError(pointer=f"/{name}", message=f"This field is required. {takes}.") for name in wanted - set(sent)),
        *(FieldError(pointer=f"/{name}", message=f"{takes}: leave this out.") for name in foreign & set(sent)),
    ]
    if errors:
        raise InvalidRequest(errors=sorted(errors, key=lambda error: error["pointer"]))


def check_announced(content_type: str, content_length: int, rules: PhotoProof) -> None:
    """Raise `InvalidRequest` for a type or a size (bytes) that the challenge does not take."""
    errors = []
    if content_type not in rules.types:
        message = f"This challenge takes {', '.join(rules.types)}."
        errors.append(FieldError(pointer="/content_type", message=message))
    if content_length > rules.max_bytes:
        message = f"This challenge takes files of at most {rules.max_bytes} bytes."
        errors.append(FieldError(pointer="/content_length", message=message))
    if errors:
        raise InvalidRequest(errors=errors)


def check_value(value: str | float, rules: TextProof | NumberProof) -> None:
    """Raise `InvalidRequest` for a value of another kind than the challenge takes, or a text that is too short."""
    match rules:
        case TextProof():
            if not isinstance(value, str):
                raise _invalid("/value", "This challenge takes a text.")
            if len(value) < rules.min_length:
                raise _invalid("/value", f"This challenge takes texts of at least {rules.min_length} characters.")
        case NumberProof():
            if isinstance(value, str):
                raise _invalid("/value", f"This challenge takes a number{f' ({rules.unit})' if rules.unit else ''}.")


def decide_value(value: str | float, rules: TextProof | NumberProof) -> Verdict:
    """The verdict on a text or a number, in the moment that it is sent."""
    target = rules.target if isinstance(rules, NumberProof) else None
    if target is None or isinstance(value, str) or value >= target:
        return Verdict("accepted")
    unit = f" {rules.unit}" if isinstance(rules, NumberProof) and rules.unit else ""
    detail = f"This is {value:.15g} of {target:.15g}{unit}. Send it again when you have reached it."
    return Verdict("rejected", [Reason(code="below_target", detail=detail)])


def check_storage(stored: int, content_length: int) -> None:
    """Raise `StorageFull` when another photo, of so many bytes, goes beyond what one person may store."""
    if stored + content_length > STORAGE_QUOTA:
        raise StorageFull


def check_review(status: Status, reasons: Collection[Reason], *, can_be_seen: bool) -> None:
    """Raise `NotReviewable` for what is not decided yet, was replaced, or cannot be looked at."""
    if status not in ("accepted", "rejected", "needs_review"):
        raise NotReviewable(f"This proof is {status.replace('_', ' ')}: there is nothing to review.")
    if any(reason["code"] == "malware" for reason in reasons):
        raise NotReviewable("A virus was found in this file. Nobody can accept it.")
    if not can_be_seen:
        raise NotReviewable("There is no picture to look at: this file could not be read.")


def check_second_look(
    decision: Decision, *, reviewer: UUID, owner: UUID, reviewed_by: UUID | None, appealed: bool
) -> None:
    """Owners take part themselves. Raise `ModeratorDecided` when one would overrule a moderator, and `OwnDecision` when
    one who rejected a proof would reject the appeal against that as well.
    """
    if reviewer == owner and reviewed_by not in (None, owner):
        raise ModeratorDecided
    if decision == "reject" and appealed and reviewer == owner == reviewed_by:
        raise OwnDecision


def check_appeal(
    status: Status,
    reasons: Collection[Reason],
    *,
    can_be_seen: bool,
    appealed: bool,
    decided_at: datetime,
    now: datetime,
) -> None:
    """Raise what keeps a participant from appealing: `NotAppealable`, `AppealedAlready`."""
    if appealed:
        raise AppealedAlready
    if status != "rejected":
        raise NotAppealable
    if not can_be_seen or any(reason["code"] == "malware" for reason in reasons):
        raise NotAppealable(
            "There is no picture that anybody could look at. Send another one while the window is open."
        )
    if now > decided_at + APPEALS_FOR:
        raise NotAppealable(f"A verdict can be appealed for {APPEALS_FOR.days} days, and these are over.")


def shows_picture(status: Status, *, is_judge: bool) -> bool:
    """Whether the picture of a proof is shown to somebody who sees the proof: what counts; all else to its judges."""
    return is_judge or status in ("accepted", "replaced")


def check_removal(closes_at: datetime, now: datetime) -> None:
    """Raise `WindowClosed` once a proof counts for good."""
    if now >= closes_at:
        raise WindowClosed("The window of this proof has closed: it stays as it is.")


def shown_status(status: Status, created_at: datetime, now: datetime) -> ShownStatus:
    """The status as people see it: what was never uploaded expires."""
    if status == "awaiting_upload" and now >= created_at + EXPIRES_AFTER:
        return "expired"
    return status


def check_decided(status: Status, created_at: datetime, now: datetime) -> None:
    """Raise `NotDecided` while there is no verdict, or will never be one. That it needs a review is one."""
    if status in ("awaiting_upload", "processing"):
        shown = shown_status(status, created_at, now).replace("_", " ")
        raise NotDecided(f"There is no verdict on this proof: it is {shown}.")


def too_large(max_bytes: int) -> Reason:
    """For a file that is larger than the challenge allows, whatever was announced."""
    return Reason(code="too_large", detail=f"This challenge takes files of at most {max_bytes} bytes.")


def infected(signature: str) -> Verdict:
    """The verdict on a file that the virus scanner recognised; nothing else about it matters."""
    detail = f"The virus scanner found {signature} in this file. We have deleted it: take a new photo and send that."
    return Verdict("rejected", [Reason(code="malware", detail=detail)])


def comparable(quality: int) -> bool:
    """Whether a fingerprint of this quality tells its picture from others."""
    return quality > DISCARDED_QUALITY


def check_duplicate(used_before: UsedBefore | None, distance: int, *, rejected: bool = False) -> Reason | Unsure | None:
    """What a former proof with the same file, or a picture `distance` bits away, makes of a new one. `rejected`: a
    person has rejected that.
    """
    if used_before is None:
        return None
    if rejected and distance <= CERTAIN_DISTANCE:
        detail = "Somebody looked at this photo before, and rejected it. Take a new one, or appeal that decision."
        return Reason(code="duplicate_image", detail=detail)
    if used_before == "file":
        detail = "This very file has been a proof before. Take a new photo."
        return Reason(code="duplicate_image", detail=detail)
    if distance <= CERTAIN_DISTANCE:
        detail = "This photo shows the same picture as a proof before it. Take a new one."
        return Reason(code="duplicate_image", detail=detail)
    detail = "This photo is much like a proof before it. Whether it is another one is for a person to say."
    return Unsure(Reason(code="duplicate_image", detail=detail))


def decide(*, closes_at: datetime, stored_at: datetime, found: Collection[Reason | Unsure | None]) -> Verdict:
    """The verdict on an upload that reached storage at `stored_at`, by what each check found; None: nothing."""
    reasons = [finding for finding in found if finding is not None and not isinstance(finding, Unsure)]
    if stored_at > closes_at + UPLOAD_LIFE:
        detail = "The upload arrived after your window had closed."
        reasons.insert(0, Reason(code="outside_window", detail=detail))
    if reasons:
        return Verdict("rejected", reasons)
    doubts = [finding.reason for finding in found if isinstance(finding, Unsure)]
    return Verdict("needs_review", doubts) if doubts else Verdict("accepted")


def _invalid(pointer: str, message: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer=pointer, message=message)])
