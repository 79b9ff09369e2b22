"""A proof as it is shown, and whether it is shown at all."""

from datetime import date, datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field

from challenges.rules import NotParticipant
from chally.db import Tx
from chally.errors import NotFound
from proofs import rules
from proofs.queries import proofs
from proofs.queries.proofs import Challenge, Proof


class ProverOut(BaseModel):
    id: UUID
    username: str


class ReasonOut(BaseModel):
    """Why a proof was not accepted: `code` is stable, `detail` is for the person."""

    code: rules.ReasonCode
    detail: str


class ReviewOut(BaseModel):
    """What a person decided about it; `reason` is for who sent the proof and who may review it."""

    decision: rules.Decision
    reason: str | None
    reviewed_at: datetime


class MatchOut(BaseModel):
    """A former proof that this one is much like: `distance` of 256 bits lie between their fingerprints."""

    proof_id: UUID
    distance: int


class ProofOut(BaseModel):
    """Of a photo `value` is null; of a text or a number, what describes a file is."""

    id: UUID
    challenge_id: UUID
    participant_id: UUID
    user: ProverOut
    local_date: Annotated[date, Field(description="which of the participant's windows it is for")]
    opens_at: datetime
    closes_at: datetime
    kind: rules.Kind
    status: rules.ShownStatus
    reasons: Annotated[list[ReasonOut], Field(description="for who sent it and who may review it")]
    note: str | None
    value: Annotated[str | float | None, Field(description="the text, or the number")]
    captured_at: datetime | None
    content_type: str | None
    content_length: int | None
    sha256: str | None
    created_at: datetime
    stored_at: Annotated[datetime | None, Field(description="when the upload reached storage")]
    decided_at: datetime | None
    appeal: Annotated[
        str | None, Field(description="what its participant said against a rejection; for them and who may review it")
    ]
    appealed_at: datetime | None
    review: ReviewOut | None
    match: Annotated[MatchOut | None, Field(description="while it needs a review, for who may review it")]

    @classmethod
    def of(cls, proof: Proof, now: datetime) -> Self:
        return cls.model_validate(
            {
                **{name: getattr(proof, name) for name in cls.model_fields if hasattr(proof, name)},
                "user": ProverOut(id=proof.user_id, username=proof.username),
                "status": rules.shown_status(proof.status, proof.created_at, now),
                "sha256": proof.sha256.hex() if proof.sha256 else None,
                "review": ReviewOut(decision=proof.review, reason=proof.review_reason, reviewed_at=proof.reviewed_at)
                if proof.review and proof.reviewed_at
                else None,
                "match": MatchOut(proof_id=proof.match_id, distance=proof.match_distance or 0)
                if proof.match_id
                else None,
            }
        )


def challenge(tx: Tx, challenge_id: UUID) -> Challenge:
    """The challenge that proofs are of. Raises `NotFound` where there is none that the reader may see."""
    found = proofs.challenge(tx, challenge_id)
    if found is None:
        raise NotFound
    return found


def found(proof: Proof | None) -> Proof:
    """Raises `NotFound` where there is none that the reader may see."""
    if proof is None:
        raise NotFound
    return proof


def own_place(challenge: Challenge) -> UUID:
    """The reader's id as a participant. Raises `NotParticipant`."""
    if challenge.participant_id is None:
        raise NotParticipant
    return challenge.participant_id
