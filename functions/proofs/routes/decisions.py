"""HTTP of what happens to a proof after its verdict: review, appeal, taking it back."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import StringConstraints

from chally import clock, http
from chally.body import Body
from chally.http import TrustedTx
from proofs import reviews
from proofs.queries import proofs
from proofs.routes import shown
from proofs.routes.shown import ProofOut

router = http.router("proofs")


class ReviewIn(Body):
    decision: Literal["accept", "reject"]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class AppealIn(Body):
    message: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


@router.post("/v1/proofs/{proof_id}/review")
async def review(proof_id: UUID, body: ReviewIn, tx: TrustedTx) -> ProofOut:
    """Accept or reject a proof by eye; its participant is told why. For the owner of the challenge, and for moderators;
    nobody reviews their own.
    """
    now = clock.now()
    reviews.review(tx, proof_id, body.decision, body.reason, now)
    return ProofOut.of(shown.found(proofs.proof(tx, proof_id)), now)


@router.post("/v1/proofs/{proof_id}/appeal")
async def appeal(proof_id: UUID, body: AppealIn, tx: TrustedTx) -> ProofOut:
    """Ask for my rejected proof to be looked at by a person: once, within seven days of the verdict."""
    now = clock.now()
    reviews.appeal(tx, proof_id, body.message, now)
    return ProofOut.of(shown.found(proofs.proof(tx, proof_id)), now)


@router.delete("/v1/proofs/{proof_id}", status_code=204)
async def remove(proof_id: UUID, tx: TrustedTx) -> None:
    """Take my proof back while its window is open; it leaves its place, and its picture is deleted."""
    reviews.remove(tx, proof_id, clock.now())
