"""Which proofs can be reviewed and appealed, and by whom."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from chally.errors import AppError
from proofs.rules.status import ProofStatus
from proofs.rules.verdict import Reason

ReviewDecision = Literal["accept", "reject"]

# How long after its verdict a proof can be appealed.
APPEAL_PERIOD = timedelta(days=7)


class NotReviewable(AppError):
    status = 409
    code = "not_reviewable"
    detail = "This proof cannot be reviewed now."


class OwnProof(AppError):
    status = 403
    code = "own_proof"
    detail = "You cannot review your own proof. Another person must: the owner of the challenge or a moderator."


class NotReviewer(AppError):
    status = 403
    code = "not_reviewer"
    detail = "Only the owner of the challenge or a moderator can review its proofs."


class OwnDecision(AppError):
    status = 403
    code = "own_decision"
    detail = "This is an appeal against your own decision. You can accept the proof; only a moderator can reject it."


class ModeratorDecided(AppError):
    status = 403
    code = "moderator_decided"
    detail = "A moderator decided on this proof. Only a moderator can change that decision."


class NotAppealable(AppError):
    status = 409
    code = "not_appealable"
    detail = "Only a rejected proof can be appealed."


class AlreadyAppealed(AppError):
    status = 409
    code = "appealed_already"
    detail = "You have already appealed this proof. A proof can be appealed once; the decision on the appeal is final."


class DecidedByPerson(AppError):
    status = 409
    code = "decided_by_person"
    detail = (
        "A person rejected this proof, or you appealed its verdict, so it cannot be removed. While the window is open"
        " and has room, you can send another one."
    )


def check_removal(*, review: ReviewDecision | None, appealed: bool) -> None:
    """Raise `DecidedByPerson` for a rejection or an appeal that a removal would erase: the same content could be sent
    again, and appealed again.
    """
    if review == "reject" or appealed:
        raise DecidedByPerson


def check_review(
    status: ProofStatus, reasons: Collection[Reason], *, can_be_seen: bool, is_deleted: bool = False
) -> None:
    """Raise `NotReviewable` for a proof that has no verdict, was replaced, or cannot be looked at.

    `is_deleted`: its challenge was deleted, or its sender's account, with which its content is hidden.
    """
    if status not in ("accepted", "rejected", "needs_review"):
        raise NotReviewable(f"There is nothing to review: this proof is {status.replace('_', ' ')}.")
    if any(reason["code"] == "malware" for reason in reasons):
        raise NotReviewable("The virus scanner found malware in this file. It cannot be accepted.")
    if not can_be_seen:
        raise NotReviewable("There is no picture to look at: this file could not be read.")
    if is_deleted:
        raise NotReviewable("The challenge of this proof, or the account that sent it, was deleted.")


def check_changed_decision(
    decision: ReviewDecision, *, reviewer: UUID, owner: UUID, reviewed_by: UUID | None, appealed: bool
) -> None:
    """Limit what owners may change, because they can take part in their own challenges.

    Raise `ModeratorDecided` if the owner would overrule a moderator, and `OwnDecision` if the owner would reject an
    appeal against their own rejection.
    """
    if reviewer == owner and reviewed_by not in (None, owner):
        raise ModeratorDecided
    if decision == "reject" and appealed and reviewer == owner == reviewed_by:
        raise OwnDecision


def check_appeal(
    status: ProofStatus,
    reasons: Collection[Reason],
    *,
    can_be_seen: bool,
    appealed: bool,
    decided_at: datetime,
    now: datetime,
    is_deleted: bool = False,
    rejected_before: UUID | None = None,
) -> None:
    """Raise `NotAppealable` or `AlreadyAppealed` for a proof that its participant cannot appeal now.

    `is_deleted`: its challenge was deleted. `rejected_before`: the proof with which a person rejected the same picture.
    """
    if appealed:
        raise AlreadyAppealed
    if status != "rejected":
        raise NotAppealable
    if not can_be_seen or any(reason["code"] == "malware" for reason in reasons):
        raise NotAppealable("There is no picture to look at. Send another one while the window is open.")
    if is_deleted:
        raise NotAppealable("The challenge of this proof was deleted: there is nothing left to decide.")
    if rejected_before is not None:
        raise NotAppealable(
            f"A person rejected this picture in your proof {rejected_before}. Appeal that decision instead."
        )
    if now > decided_at + APPEAL_PERIOD:
        raise NotAppealable(f"A verdict can be appealed for {APPEAL_PERIOD.days} days, and they are over.")
