"""HTTP of participants: join, leave, remove, list."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Path, Response
from pydantic import BaseModel, Field

from challenges import membership, rules
from challenges.queries import participants
from challenges.routes import access
from challenges.routes.models import JoinOut
from chally import clock, http, limits
from chally.body import Body
from chally.http import CurrentActor, UserTx
from chally.paging import Page, PageParams
from chally.zones import Zone

router = http.router("challenges")


class JoinIn(Body):
    timezone: Annotated[
        Zone | None,
        Field(description="Defaults to your account's time zone, or to your previous one if you are rejoining"),
    ] = None


class ParticipantOut(BaseModel):
    participant_id: UUID
    user_id: UUID
    username: str
    joined_at: datetime


@router.post(
    "/v1/challenges/{ref}/join",
    summary="Join a challenge",
    description="Join a challenge by invite code, or by id if it is public.\n\n"
    "If you already take part, the response is 200, and `timezone`, if given, moves your windows to that zone. If you "
    "left earlier, you get your standing back, with the windows missed in between. If the owner removed you, you need "
    "a newer invite code.\n\n"
    "If you join after the start, which the owner must allow (`late_join`), your dates begin with the first window "
    "that closes after you joined: `first_window`. Earlier dates do not count as missed.\n\n"
    f"You can take part in up to {rules.MAX_JOINED} challenges that are not over.",
    status_code=201,
    responses={200: {"model": JoinOut}},
    dependencies=[limits.per_account("join", body=JoinIn | None)],  # failed ones count: invite codes cannot be guessed
)
async def join_challenge(
    ref: Annotated[str, Path(max_length=64, description="Invite code, or the id of a public challenge")],
    actor: CurrentActor,
    tx: UserTx,
    response: Response,
    body: JoinIn | None = None,
) -> JoinOut:
    now = clock.now()
    joined = membership.join(tx, ref, body.timezone if body else None, now)
    if not joined.is_new:
        response.status_code = 200
    return JoinOut.joined(joined, actor.user_id, now)


@router.post(
    "/v1/challenges/{challenge_id}/leave",
    summary="Leave a challenge",
    status_code=204,
    dependencies=[limits.per_account("challenge_change")],
)
async def leave_challenge(challenge_id: UUID, tx: UserTx) -> None:
    """Leave a challenge: you no longer appear in its roster and standings.

    Leaving again is also 204. The owner cannot leave.
    """
    membership.leave(tx, challenge_id, clock.now())


@router.delete(
    "/v1/challenges/{challenge_id}/participants/{participant_id}",
    summary="Remove a participant",
    status_code=204,
    dependencies=[limits.per_account("challenge_change")],
)
async def remove_participant(challenge_id: UUID, participant_id: UUID, tx: UserTx) -> None:
    """Remove a participant from your own challenge. They can only rejoin with an invite code created later."""
    membership.remove(tx, challenge_id, participant_id, clock.now())


@router.get("/v1/challenges/{challenge_id}/participants", summary="List participants")
async def list_participants(challenge_id: UUID, tx: UserTx, paging: PageParams) -> Page[ParticipantOut]:
    """List the participants of a challenge, in the order of joining."""
    access.check_roster(tx, challenge_id)
    rows = participants.roster(tx, challenge_id, after=paging.after, offset=paging.offset, limit=paging.fetch_limit)
    items = [ParticipantOut.model_validate(row, from_attributes=True) for row in rows]
    return paging.page(rows, items, [str(row.participant_id) for row in rows])
