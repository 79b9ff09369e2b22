"""What the API returns of a proof, and the errors if there is nothing to return."""

from datetime import date, datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field

from challenges.rules import NotParticipant
from chally.db import Tx
from chally.errors import NotFound
from proofs.queries import proofs
from proofs.queries.proofs import Proof, ProofChallenge
from proofs.rules.review import ReviewDecision
from proofs.rules.status import ProofKind, ShownStatus, shown_status
from proofs.rules.verdict import ReasonCode


class ProverOut(BaseModel):
    id: UUID
    username: str


class ReasonOut(BaseModel):
    """Why a proof was not accepted: a stable `code`, and a sentence for the participant."""

    code: ReasonCode
    detail: str


class ReviewOut(BaseModel):
    """A reviewer's decision. Only the sender and reviewers see `reason`."""

    decision: ReviewDecision
    reason: str | None
    reviewed_at: datetime


class MatchOut(BaseModel):
    """An earlier proof that looks similar: their fingerprints differ in `distance` of 256 bits."""

    proof_id: UUID
    distance: int


class ProofOut(BaseModel):
    """For a photo, `value` is null; for a text or a number, the fields that describe a file are."""

    id: UUID
    challenge_id: UUID
    participant_id: UUID
    user: ProverOut
    local_date: Annotated[date, Field(description="The local date of its window.")]
    opens_at: datetime
    closes_at: datetime
    kind: ProofKind
    status: ShownStatus
    reasons: Annotated[list[ReasonOut], Field(description="Why it was not accepted. Only for sender and reviewers.")]
    note: str | None
    value: Annotated[str | float | None, Field(description="The text or the number.")]
    captured_at: datetime | None
    content_type: str | None
    content_length: int | None
    sha256: str | None
    created_at: datetime
    stored_at: Annotated[datetime | None, Field(description="When the upload reached storage.")]
    decided_at: datetime | None
    appeal: Annotated[
        str | None, Field(description="The participant's message against a rejection. Only for them and reviewers.")
    ]
    appealed_at: datetime | None
    review: ReviewOut | None
    match: Annotated[MatchOut | None, Field(description="Only for reviewers, while it needs a review.")]

    @classmethod
    def of(cls, proof: Proof, now: datetime) -> Self:
        return cls.model_validate(
            {
                **{name: getattr(proof, name) for name in cls.model_fields if hasattr(proof, name)},
                "user": ProverOut(id=proof.user_id, username=proof.username),
                "status": shown_status(proof.status, proof.created_at, now),
                "sha256": proof.sha256.hex() if proof.sha256 else None,
                "review": ReviewOut(decision=proof.review, reason=proof.review_reason, reviewed_at=proof.reviewed_at)
                if proof.review and proof.reviewed_at
                else None,
                "match": MatchOut(proof_id=proof.match_id, distance=proof.match_distance or 0)
                if proof.match_id
                else None,
            }
        )


def find_challenge(tx: Tx, challenge_id: UUID) -> ProofChallenge:
    """Find a challenge. Raises `NotFound` if the actor cannot see it."""
    challenge = proofs.find_challenge(tx, challenge_id)
    if challenge is None:
        raise NotFound
    return challenge


def require_proof(proof: Proof | None) -> Proof:
    """Raises `NotFound` if there is no proof that the actor can see."""
    if proof is None:
        raise NotFound
    return proof


def own_participant_id(challenge: ProofChallenge) -> UUID:
    """The actor's participant id. Raises `NotParticipant`."""
    if challenge.participant_id is None:
        raise NotParticipant
    return challenge.participant_id
