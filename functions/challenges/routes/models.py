"""The JSON of a challenge."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field

from challenges import rules
from challenges.language import Rules
from challenges.queries.challenges import Challenge


class OwnerOut(BaseModel):
    id: UUID
    username: str


class ChallengeOut(BaseModel):
    id: UUID
    title: str
    description: str
    owner: OwnerOut
    status: rules.ChallengeStatus
    runtime_state: Annotated[
        rules.RuntimeState,
        Field(description="`upcoming`, `started` or `ended` if `status` is `active`; otherwise the same as `status`"),
    ]
    visibility: rules.Visibility
    invite_code: Annotated[str | None, Field(description="Null unless you are the owner or a participant")]
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
                "runtime_state": rules.runtime_state(challenge.status, challenge.starts_at, challenge.ends_at, now),
                "invite_code": challenge.invite_code if is_owner or is_participant else None,
                "is_owner": is_owner,
                "is_participant": is_participant,
            }
        )
