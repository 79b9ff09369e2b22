"""HTTP of reviews, appeals and removals."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends
from pydantic import StringConstraints

from chally import clock, http, limits, ratelimit
from chally.body import Body
from chally.http import CurrentActor, TrustedTx
from chally.text import SHOWN_TEXT
from proofs import reviews
from proofs.queries import proofs
from proofs.routes import responses
from proofs.routes.responses import ProofOut

router = http.router("proofs")


class ReviewIn(Body):
    decision: Literal["accept", "reject"]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500), SHOWN_TEXT]


class AppealIn(Body):
    message: Annotated[str, StringConstraints(min_length=1, max_length=1000), SHOWN_TEXT]


async def _limit_reviews(actor: CurrentActor, proof_id: UUID, body: ReviewIn) -> None:
    """Each decision is mailed to the participant, so it cannot be changed back and forth without limit."""
    ratelimit.consume(clock.now(), actor, review=str(actor.user_id), review_proof=f"{actor.user_id} {proof_id}")


@router.post("/v1/proofs/{proof_id}/review", summary="Review a proof", dependencies=[Depends(_limit_reviews)])
async def review_proof(proof_id: UUID, body: ReviewIn, tx: TrustedTx) -> ProofOut:
    """Accept or reject a proof. The participant gets your decision and reason by mail. For the owner of the challenge
    and for moderators; you cannot review your own proof.
    """
    now = clock.now()
    reviews.submit_review(tx, proof_id, body.decision, body.reason, now)
    return ProofOut.of(responses.require_proof(proofs.find_proof(tx, proof_id)), now)


@router.post(
    "/v1/proofs/{proof_id}/appeal",
    summary="Appeal my rejected proof",
    dependencies=[limits.per_account("proof_change", body=AppealIn)],
)
async def appeal_proof(proof_id: UUID, body: AppealIn, tx: TrustedTx) -> ProofOut:
    """Request a manual review of your rejected proof: once, within seven days of the verdict."""
    now = clock.now()
    reviews.submit_appeal(tx, proof_id, body.message, now)
    return ProofOut.of(responses.require_proof(proofs.find_proof(tx, proof_id)), now)


@router.delete(
    "/v1/proofs/{proof_id}",
    summary="Remove my proof",
    status_code=204,
    dependencies=[limits.per_account("proof_change")],
)
async def remove_proof(proof_id: UUID, tx: TrustedTx) -> None:
    """Remove your proof while its window is open. It no longer counts, and its picture is deleted. A proof that a
    person rejected, or that you appealed, stays (409 `decided_by_person`).
    """
    reviews.remove_proof(tx, proof_id, clock.now())
