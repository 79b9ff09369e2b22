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
    reasons: list[ReasonOut]
    note: str | None
    value: Annotated[str | float | None, Field(description="the text, or the number")]
    captured_at: datetime | None
    content_type: str | None
    content_length: int | None
    sha256: str | None
    created_at: datetime
    stored_at: Annotated[datetime | None, Field(description="when the upload reached storage")]
    decided_at: datetime | None

    @classmethod
    def of(cls, proof: Proof, now: datetime) -> Self:
        return cls.model_validate(
            {
                **{name: getattr(proof, name) for name in cls.model_fields if hasattr(proof, name)},
                "user": ProverOut(id=proof.user_id, username=proof.username),
                "status": rules.shown_status(proof.status, proof.created_at, now),
                "sha256": proof.sha256.hex() if proof.sha256 else None,
            }
        )


def challenge(tx: Tx, challenge_id: UUID) -> Challenge:
    """The challenge that proofs are of. Raises `NotFound` where there is none that the reader may see."""
    found = proofs.challenge(tx, challenge_id)
    if found is None:
        raise NotFound
    return found


def own_place(challenge: Challenge) -> UUID:
    """The reader's id as a participant. Raises `NotParticipant`."""
    if challenge.participant_id is None:
        raise NotParticipant
    return challenge.participant_id
