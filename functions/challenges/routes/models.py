"""The JSON of a challenge."""

from datetime import date, datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field

from challenges import rules
from challenges.language import Rules
from challenges.membership import Joined
from challenges.queries.challenges import Challenge
from chally import wall_clock


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
    late_join: Annotated[
        bool,
        Field(
            description="Whether people can join after the start. Their dates begin with the first window that closes "
            "after they joined"
        ),
    ]
    roster_visibility: rules.RosterVisibility
    rules: Rules
    is_owner: bool
    is_participant: bool
    created_at: datetime

    @classmethod
    def of(cls, challenge: Challenge, reader: UUID, now: datetime, **more: object) -> Self:
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
                **more,
            }
        )


class FirstWindowOut(BaseModel):
    """The first of your windows."""

    local_date: Annotated[date, Field(description="The first date that you can prove, on the clock of `timezone`")]
    opens_at: Annotated[datetime, Field(description="When it opens; it may be open already")]
    closes_at: Annotated[datetime, Field(description="When it closes: after you joined")]
    timezone: Annotated[str, Field(description="The time zone that the window follows: yours, or the challenge's")]


class JoinOut(ChallengeOut):
    """The challenge that you joined, and when your dates begin."""

    first_window: Annotated[
        FirstWindowOut | None,
        Field(
            description="With this window your dates begin: the first one that closes after you joined. Null if the "
            "challenge ends before any other window opens"
        ),
    ]
    notice: Annotated[
        str | None,
        Field(
            description="A sentence to show, if you joined after the start: it says when your dates begin. Or if no "
            "window is left for you. Otherwise null"
        ),
    ]

    @classmethod
    def joined(cls, joined: Joined, reader: UUID, now: datetime) -> Self:
        first = joined.first_window
        first_window = first and FirstWindowOut.model_validate(first, from_attributes=True)
        return cls.of(joined.challenge, reader, now, first_window=first_window, notice=_notice(joined))


def _notice(joined: Joined) -> str | None:
    first = joined.first_window
    if first is None:
        return "This challenge has no window left that closes after you joined, so you have no dates in it."
    if not first.late:
        return None
    closes = wall_clock.describe(first.closes_at, first.timezone)
    return (
        "You joined after this challenge had started, so your dates begin with the first window that closes after you"
        f" joined: that of {first.local_date}, which closes at {closes}. Earlier dates do not count as missed."
    )
