"""Reviews, appeals and removals: what people do with a proof after its verdict.

Lock order, the same as for a verdict: the challenge, the proof, its window, its standing.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from challenges import outcomes, standings
from chally import audit, outbox
from chally.actor import check_role
from chally.db import Tx
from chally.errors import NotFound
from notifications import reminders
from proofs.queries import reviews
from proofs.queries.reviews import ReviewRow
from proofs.rules import review, submission
from proofs.rules.review import APPEAL_PERIOD, ReviewDecision
from proofs.rules.status import COUNTED, ProofStatus

STATUSES: dict[ReviewDecision, ProofStatus] = {"accept": "accepted", "reject": "rejected"}


def submit_review(tx: Tx, proof_id: UUID, decision: ReviewDecision, reason: str, now: datetime) -> None:
    """Accept or reject a proof. Raises `NotFound`, `NotReviewer`, `OwnProof`, `NotReviewable`, `OwnDecision`,
    `ModeratorDecided` and `WindowFull`.

    Repeating the current decision changes nothing.
    """
    proof = _lock_proof(tx, proof_id)
    reviewer = _check_reviewer(tx, proof)
    review.check_review(proof.status, proof.reasons, can_be_seen=proof.can_be_seen, is_deleted=proof.is_deleted)
    status = STATUSES[decision]
    if proof.status == status:
        return
    review.check_changed_decision(
        decision,
        reviewer=reviewer,
        owner=proof.owner_id,
        reviewed_by=proof.reviewed_by,
        appealed=proof.appealed_at is not None,
    )
    outcomes.lock_window(tx, proof.participant_id, proof.local_date)
    others = reviews.other_statuses(tx, proof)
    if decision == "accept":
        submission.check_room_to_accept(others, proof.max_per_window)
        standings.record(tx, proof.participant_id, proof.local_date, "accepted")
        reminders.clear(tx, proof.participant_id, proof.local_date, now)
    else:
        _uncount(tx, proof, others, now)
    reviews.set_review(tx, proof.id, status, decision, reason, reviewer=reviewer, now=now)
    audit.record(
        tx, "proof_reviewed", now, user_id=proof.user_id, proof_id=str(proof.id), former=proof.status, decision=decision
    )
    values = {"title": proof.title, "outcome": status, "reason": reason}
    if status == "rejected" and proof.can_be_seen and proof.appealed_at is None:
        values["appeal_until_at"] = (now + APPEAL_PERIOD).isoformat()
    outbox.add(tx, "mail", {"template": "proof_reviewed", "user_id": str(proof.user_id), "values": values})


def submit_appeal(tx: Tx, proof_id: UUID, message: str, now: datetime) -> None:
    """Appeal the rejection of the actor's own proof. Raises `NotFound`, `NotAppealable` and `AlreadyAppealed`."""
    proof = _lock_own_proof(tx, proof_id)
    review.check_appeal(
        proof.status,
        proof.reasons,
        can_be_seen=proof.can_be_seen,
        is_deleted=proof.is_deleted,
        appealed=proof.appealed_at is not None,
        rejected_before=proof.rejected_before,
        decided_at=proof.decided_at or now,
        now=now,
    )
    reviews.set_appeal(tx, proof.id, message, now)
    audit.record(tx, "proof_appealed", now, user_id=proof.user_id, proof_id=str(proof.id))
    if proof.review is None:
        elsewhere = proof.matched_elsewhere
        request_review(tx, proof.id, proof.owner_id, proof.user_id, proof.title, elsewhere=elsewhere)
    else:  # an appeal against a reviewer's decision is for someone else to decide
        _request_moderation(tx, proof.id, proof.title)


def remove_proof(tx: Tx, proof_id: UUID, now: datetime) -> None:
    """Remove the actor's own proof while its window is open. Raises `NotFound`, `DecidedByPerson`, `WindowClosed`."""
    proof = _lock_own_proof(tx, proof_id)
    review.check_removal(review=proof.review, appealed=proof.appealed_at is not None)
    submission.check_removal(proof.closes_at, now)
    outcomes.lock_window(tx, proof.participant_id, proof.local_date)
    _uncount(tx, proof, reviews.other_statuses(tx, proof), now)
    reviews.delete_proof(tx, proof, now)
    audit.record(tx, "proof_removed", now, user_id=proof.user_id, proof_id=str(proof.id), former=proof.status)


def _uncount(tx: Tx, proof: ReviewRow, others: Collection[ProofStatus], now: datetime) -> None:
    """Undo a proof's effects on its window (the outcome, the cleared reminder) unless another proof has the same."""
    if proof.status == "accepted" and "accepted" not in others:
        standings.retract(tx, proof.participant_id, proof.local_date, now)
    if not set(others) & set(COUNTED):
        reminders.restore(tx, proof.participant_id, proof.local_date, now)


def request_review(
    tx: Tx, proof_id: UUID, owner_id: UUID, sender_id: UUID, title: str, *, elsewhere: bool = False
) -> None:
    """Mail a review request to the owner of the challenge, or to the moderators.

    Moderators review the owner's own proofs, and those similar to a photo of another challenge (`elsewhere`), which the
    owner cannot see. If there are no moderators, the owner gets the latter.
    """
    if owner_id == sender_id or elsewhere:
        moderators = _request_moderation(tx, proof_id, title)
        if moderators or owner_id == sender_id:
            return
    values = {"title": title, "proof_id": str(proof_id)}
    outbox.add(tx, "mail", {"template": "review_wanted", "user_id": str(owner_id), "values": values})


def _request_moderation(tx: Tx, proof_id: UUID, title: str) -> int:
    """Mail the moderators; return how many there are."""
    values = {"title": title, "proof_id": str(proof_id)}
    moderators = reviews.list_moderators(tx)
    for moderator in moderators:
        outbox.add(tx, "mail", {"template": "moderation_wanted", "user_id": str(moderator), "values": values})
    return len(moderators)


def _lock_proof(tx: Tx, proof_id: UUID) -> ReviewRow:
    reviews.lock_challenge(tx, proof_id)
    proof = reviews.lock_proof(tx, proof_id)
    if proof is None:
        raise NotFound
    return proof


def _lock_own_proof(tx: Tx, proof_id: UUID) -> ReviewRow:
    """Lock a proof of the actor. Raises `NotFound` for other people's proofs."""
    proof = _lock_proof(tx, proof_id)
    if tx.actor is None or proof.user_id != tx.actor.user_id:
        raise NotFound
    return proof


def _check_reviewer(tx: Tx, proof: ReviewRow) -> UUID:
    """Return the actor's id. Raises `OwnProof` or `NotReviewer` if they cannot review this proof."""
    assert tx.actor is not None
    reviewer = tx.actor.user_id
    if reviewer == proof.user_id:
        raise review.OwnProof
    if reviewer != proof.owner_id:
        if tx.session.role == "user":
            raise review.NotReviewer
        check_role(tx.session, "moderator", "admin")
    return reviewer
