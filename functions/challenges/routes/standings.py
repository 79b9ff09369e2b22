"""HTTP of standings."""

from uuid import UUID

from pydantic import BaseModel

from challenges.queries import standings
from challenges.routes import access
from chally import http, paging
from chally.http import UserTx
from chally.paging import Page, PageParams

router = http.router("challenges")


class StandingOut(BaseModel):
    rank: int
    participant_id: UUID
    username: str
    points: int
    current_streak: int
    best_streak: int
    accepted: int
    missed: int


@router.get("/v1/challenges/{challenge_id}/standings", summary="List standings")
async def list_standings(challenge_id: UUID, tx: UserTx, paging: PageParams) -> Page[StandingOut]:
    """List the standings, best first. Participants with equal points share a rank."""
    after = None if paging.position is None else _standing_position(paging.position)
    rows = standings.ranking(tx, challenge_id, after=after, offset=paging.offset, limit=paging.fetch_limit)
    if not rows:  # past the end, or hidden from the actor: only then does the reason cost a query
        access.check_roster(tx, challenge_id)
    items = [StandingOut.model_validate(row, from_attributes=True) for row in rows]
    return paging.page(rows, items, [f"{row.points} {row.participant_id}" for row in rows])


def _standing_position(text: str) -> tuple[int, UUID]:
    points, _, participant_id = text.partition(" ")
    try:
        position = int(points), UUID(participant_id)
    except ValueError:
        raise paging.invalid_cursor() from None
    if not 0 <= position[0] < 2**31:
        raise paging.invalid_cursor()
    return position
