"""Texts and numbers: proofs that get their verdict in the request that sends them."""

from datetime import datetime

from challenges import outcomes, standings
from challenges.language import NumberProof, TextProof
from chally.db import Tx
from notifications import reminders
from proofs import reviews
from proofs.queries import proofs
from proofs.queries.proofs import Proof, ProofRequest
from proofs.rules import submission
from proofs.rules.verdict import check_rejected_before, decide_value


def submit_value(
    tx: Tx, request: ProofRequest, value: str | float, terms: TextProof | NumberProof, now: datetime
) -> Proof:
    """Write the proof with its verdict, and update the standing and the reminder in the same transaction.

    Raises `InvalidRequest` for a value of another kind, `WindowFull`, and `RejectedBefore` if a person rejected the
    same value. The lock on the window makes concurrent requests, and reviews of the same window, count each other.
    """
    submission.check_value(value, terms)
    outcomes.lock_window(tx, request.participant_id, request.local_date)
    statuses = proofs.window_statuses(tx, request.participant_id, request.local_date, now)
    submission.check_room(statuses, terms.max_per_window)
    reviewed = proofs.list_reviewed_values(tx, request.participant_id, request.local_date)
    doubt = check_rejected_before(value, reviewed)
    verdict = decide_value(value, terms, doubt)
    proof = proofs.add_value(tx, request, value, verdict, now=now)
    if verdict.status == "accepted":
        standings.record(tx, request.participant_id, request.local_date, "accepted")
    if verdict.status != "rejected":
        reminders.clear(tx, request.participant_id, request.local_date, now)
    if verdict.status == "needs_review":
        challenge = proofs.find_challenge(tx, request.challenge_id)
        assert challenge is not None  # the actor takes part in it
        reviews.request_review(tx, proof.id, challenge.owner_id, proof.user_id, challenge.title)
    return proof
