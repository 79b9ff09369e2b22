"""A challenge as it is shown, and whether it is shown at all."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field

from challenges import rules
from challenges.language import Rules
from challenges.queries import challenges, participants
from challenges.queries.challenges import Challenge
from chally.db import Tx
from chally.errors import NotFound


class OwnerOut(BaseModel):
    id: UUID
    username: str


class ChallengeOut(BaseModel):
    id: UUID
    title: str
    description: str
    owner: OwnerOut
    status: rules.Status
    runtime_state: rules.RuntimeState
    visibility: rules.Visibility
    invite_code: Annotated[str | None, Field(description="for the owner and participants only")]
    timezone: str
    starts_at: datetime
    ends_at: datetime
    max_participants: int
    participant_count: int
    late_join: bool
    roster_visibility: rules.RosterVisibility
    rules: Rules
    is_owner: bool
    is_participant: bool
    created_at: datetime

    @classmethod
    def of(cls, challenge: Challenge, reader: UUID, now: datetime) -> Self:
        is_owner = challenge.owner_id == reader
        is_participant = challenge.participant_id is not None
        return cls.model_validate(
            {
                **{name: getattr(challenge, name) for name in cls.model_fields if hasattr(challenge, name)},
                "owner": OwnerOut(id=challenge.owner_id, username=challenge.owner_username),
                "runtime_state": state(challenge, now),
                "invite_code": challenge.invite_code if is_owner or is_participant else None,
                "is_owner": is_owner,
                "is_participant": is_participant,
            }
        )


def state(challenge: Challenge, now: datetime) -> rules.RuntimeState:
    return rules.runtime_state(challenge.status, challenge.starts_at, challenge.ends_at, now)


def found(tx: Tx, challenge_id: UUID) -> Challenge:
    """The challenge. Raises `NotFound` where there is none that the reader may see."""
    challenge = challenges.challenge(tx, challenge_id)
    if challenge is None:
        raise NotFound
    return challenge


def owned(tx: Tx, challenge_id: UUID) -> Challenge:
    """The reader's own challenge, held until the end of the transaction. Raises `NotFound` and `NotOwner`."""
    owns = challenges.lock(tx, challenge_id)
    challenge = found(tx, challenge_id)
    if not owns:
        raise rules.NotOwner
    return challenge


def own_place(tx: Tx, challenge_id: UUID) -> UUID:
    """The reader's id as a participant. Raises `NotFound` and `NotParticipant`."""
    return place(found(tx, challenge_id))


def place(challenge: Challenge) -> UUID:
    """The reader's id as a participant of a challenge. Raises `NotParticipant`."""
    if challenge.participant_id is None:
        raise rules.NotParticipant
    return challenge.participant_id


def check_roster(tx: Tx, challenge_id: UUID) -> None:
    """Raise `NotFound`, or `RosterHidden` where the reader may not see who takes part."""
    found(tx, challenge_id)
    if not participants.shows_roster(tx, challenge_id):
        raise rules.RosterHidden
