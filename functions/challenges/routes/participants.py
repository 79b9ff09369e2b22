"""HTTP of taking part: join, leave, remove somebody, see who takes part."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Response
from pydantic import BaseModel, Field

from challenges import membership
from challenges.queries import participants
from challenges.routes import shown
from challenges.routes.shown import ChallengeOut
from chally import clock, http, ratelimit
from chally.body import Body
from chally.http import CurrentActor, UserTx
from chally.paging import Page, PageParams
from chally.zones import Zone

router = http.router("challenges")


class JoinIn(Body):
    timezone: Annotated[
        Zone | None, Field(description="default: that of the account, or the one here for who was in before")
    ] = None


class ParticipantOut(BaseModel):
    participant_id: UUID
    user_id: UUID
    username: str
    joined_at: datetime


async def _limit_joins(actor: CurrentActor) -> None:
    """Whatever comes of them: who guesses codes runs out of guesses."""
    ratelimit.take(clock.now(), actor, join=str(actor.user_id))


@router.post(
    "/v1/challenges/{ref}/join",
    status_code=201,
    responses={200: {"model": ChallengeOut}},
    dependencies=[Depends(_limit_joins)],
)
async def join(
    ref: Annotated[str, Path(max_length=64, description="invite code, or the id of a public challenge")],
    actor: CurrentActor,
    tx: UserTx,
    response: Response,
    body: JoinIn | None = None,
) -> ChallengeOut:
    """Take part, by invite code, or by id where it is public. Whoever is in already only moves to the zone given.

    Whoever left finds their place as it was, with the windows missed meanwhile. Whom the owner removed needs an invite
    code that was made since.
    """
    now = clock.now()
    challenge, came = membership.join(tx, ref, body.timezone if body else None, now)
    if not came:
        response.status_code = 200
    return ChallengeOut.of(challenge, actor.user_id, now)


@router.post("/v1/challenges/{challenge_id}/leave", status_code=204)
async def leave_challenge(challenge_id: UUID, tx: UserTx) -> None:
    """Take part no longer: off the roster and the standings. Also 204 for who left before. The owner cannot."""
    membership.leave(tx, challenge_id, clock.now())


@router.delete("/v1/challenges/{challenge_id}/participants/{participant_id}", status_code=204)
async def remove_participant(challenge_id: UUID, participant_id: UUID, tx: UserTx) -> None:
    """Take somebody out; only an invite code made later lets them in again. For the owner."""
    membership.remove(tx, challenge_id, participant_id, clock.now())


@router.get("/v1/challenges/{challenge_id}/participants")
async def roster(challenge_id: UUID, tx: UserTx, asked: PageParams) -> Page[ParticipantOut]:
    """Who takes part, in the order of joining."""
    shown.check_roster(tx, challenge_id)
    rows = participants.roster(tx, challenge_id, after=asked.after, offset=asked.offset, limit=asked.fetch)
    items = [ParticipantOut.model_validate(row, from_attributes=True) for row in rows]
    return asked.page(rows, items, [str(row.participant_id) for row in rows])
