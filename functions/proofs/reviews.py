"""After the verdict: who looks at a proof again, who asks for that, and who takes theirs back.

Always in this order, here as in the verdict: the challenge's proofs take turns, the proof is held, then its window, and
then the standing.
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
from proofs import rules
from proofs.queries import reviews
from proofs.queries.reviews import Judged
from proofs.rules import Decision, Status

OUTCOME: dict[Decision, Status] = {"accept": "accepted", "reject": "rejected"}
# In mails.
MAY_APPEAL = (
    f"\nIf this is a mistake, appeal it in the app within {rules.APPEALS_FOR.days} days,"
    " and a person will look at it.\n"
)


def review(tx: Tx, proof_id: UUID, decision: Decision, reason: str, now: datetime) -> None:
    """Decide on a proof by eye. Raises `NotFound`, `NotReviewer`, `OwnProof`, `NotReviewable` and `WindowFull`.

    The same decision again changes nothing.
    """
    proof = _seen(tx, proof_id)
    reviewer = _reviewer(tx, proof)
    rules.check_review(proof.status, proof.reasons, can_be_seen=proof.can_be_seen)
    status = OUTCOME[decision]
    if proof.status == status:
        return
    rules.check_second_look(
        decision,
        reviewer=reviewer,
        owner=proof.owner_id,
        reviewed_by=proof.reviewed_by,
        appealed=proof.appealed_at is not None,
    )
    outcomes.lock_window(tx, proof.participant_id, proof.local_date)
    others = reviews.others(tx, proof)
    if decision == "accept":
        rules.check_room_to_accept(others, proof.max_per_window)
        standings.record(tx, proof.participant_id, proof.local_date, "accepted")
        reminders.clear(tx, proof.participant_id, proof.local_date, now)
    else:
        _withdraw(tx, proof, others, now)
    reviews.set_review(tx, proof.id, status, decision, reason, reviewer=reviewer, now=now)
    audit.record(
        tx, "proof_reviewed", now, user_id=proof.user_id, proof_id=str(proof.id), former=proof.status, decision=decision
    )
    appeal = MAY_APPEAL if status == "rejected" and proof.can_be_seen and proof.appealed_at is None else ""
    values = {"title": proof.title, "outcome": status, "reason": reason, "appeal": appeal}
    outbox.add(tx, "mail", {"template": "proof_reviewed", "user_id": str(proof.user_id), "values": values})


def appeal(tx: Tx, proof_id: UUID, message: str, now: datetime) -> None:
    """Ask for a rejected proof of one's own to be looked at. Raises `NotFound`, `NotAppealable`, `AppealedAlready`."""
    proof = _own(tx, proof_id)
    rules.check_appeal(
        proof.status,
        proof.reasons,
        can_be_seen=proof.can_be_seen,
        appealed=proof.appealed_at is not None,
        decided_at=proof.decided_at or now,
        now=now,
    )
    reviews.set_appeal(tx, proof.id, message, now)
    audit.record(tx, "proof_appealed", now, user_id=proof.user_id, proof_id=str(proof.id))
    if proof.reviewed_by is None:
        elsewhere = proof.matched_elsewhere
        ask_for_review(tx, proof.id, proof.owner_id, proof.user_id, proof.title, elsewhere=elsewhere)
    else:  # who has decided is not asked again
        _ask_moderators(tx, proof.id, proof.title)


def remove(tx: Tx, proof_id: UUID, now: datetime) -> None:
    """Take a proof of one's own back while its window is open. Raises `NotFound` and `WindowClosed`."""
    proof = _own(tx, proof_id)
    rules.check_removal(proof.closes_at, now)
    outcomes.lock_window(tx, proof.participant_id, proof.local_date)
    _withdraw(tx, proof, reviews.others(tx, proof), now)
    reviews.remove(tx, proof, now)
    audit.record(tx, "proof_removed", now, user_id=proof.user_id, proof_id=str(proof.id), former=proof.status)


def _withdraw(tx: Tx, proof: Judged, others: Collection[Status], now: datetime) -> None:
    """A proof counts no more: its window loses its outcome, and is reminded of again, where no other stands for it."""
    if proof.status == "accepted" and "accepted" not in others:
        standings.retract(tx, proof.participant_id, proof.local_date, now)
    if not set(others) & set(rules.COUNTED):
        reminders.restore(tx, proof.participant_id, proof.local_date, now)


def ask_for_review(
    tx: Tx, proof_id: UUID, owner_id: UUID, prover_id: UUID, title: str, *, elsewhere: bool = False
) -> None:
    """A mail to who may review it: the owner of the challenge, but for their own proof. That is the moderators', and so
    is one that is like a photo of another challenge (`elsewhere`), which no owner may see; where there are any.
    """
    if owner_id == prover_id or elsewhere:
        asked = _ask_moderators(tx, proof_id, title)
        if asked or owner_id == prover_id:
            return
    values = {"title": title, "proof_id": str(proof_id)}
    outbox.add(tx, "mail", {"template": "review_wanted", "user_id": str(owner_id), "values": values})


def _ask_moderators(tx: Tx, proof_id: UUID, title: str) -> int:
    """How many were asked."""
    values = {"title": title, "proof_id": str(proof_id)}
    moderators = reviews.moderators(tx)
    for moderator in moderators:
        outbox.add(tx, "mail", {"template": "moderation_wanted", "user_id": str(moderator), "values": values})
    return len(moderators)


def _seen(tx: Tx, proof_id: UUID) -> Judged:
    reviews.serialise(tx, proof_id)
    proof = reviews.hold(tx, proof_id)
    if proof is None:
        raise NotFound
    return proof


def _own(tx: Tx, proof_id: UUID) -> Judged:
    """A proof of the actor's. Other people's are `NotFound`: only its participant has any use for this."""
    proof = _seen(tx, proof_id)
    if tx.actor is None or proof.user_id != tx.actor.user_id:
        raise NotFound
    return proof


def _reviewer(tx: Tx, proof: Judged) -> UUID:
    """Who is reviewing, if they may."""
    assert tx.actor is not None
    person = tx.actor.user_id
    if person == proof.user_id:
        raise rules.OwnProof
    if person != proof.owner_id:
        if tx.session.role == "user":
            raise rules.NotReviewer
        check_role(tx.session, "moderator", "admin")
    return person
