"""HTTP of a change of zone, before it is made: what would move."""

from datetime import date, datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, Field

from challenges import windows
from challenges.windows import FORESEEN, Moves
from chally import clock, db, http, ratelimit
from chally.body import Body
from chally.http import CurrentActor
from chally.paging import Page, PageParams
from chally.zones import Zone

router = http.router("challenges")


class TimezoneIn(Body):
    timezone: Zone


class MovingOut(BaseModel):
    id: UUID
    title: str


class SpanOut(BaseModel):
    opens_at: datetime
    closes_at: datetime
    timezone: str


class MoveOut(BaseModel):
    """A window as it is, and as it would be."""

    local_date: date
    from_: Annotated[SpanOut, Field(alias="from", serialization_alias="from")]
    to: SpanOut


class MovesOut(BaseModel):
    """What would move of a challenge: only windows of which the instants differ."""

    challenge: MovingOut
    windows: Annotated[list[MoveOut], Field(description=f"those that open within {FORESEEN.days} days")]

    @classmethod
    def of(cls, row: Moves) -> Self:
        return cls.model_validate({"challenge": {"id": row.challenge_id, "title": row.title}, "windows": row.windows})


async def _limit_previews(actor: CurrentActor) -> None:
    """Each looks at years of windows."""
    ratelimit.take(clock.now(), actor, timezone_preview=str(actor.user_id))


@router.post("/v1/me/timezone/preview", dependencies=[Depends(_limit_previews)])
async def preview(body: TimezoneIn, actor: CurrentActor, asked: PageParams) -> Page[MovesOut]:
    """What PATCH /v1/me with this `timezone` would move, if it came now. It changes nothing.

    Every challenge whose windows go by the zone of the account and that is not over, the one joined last first; of each
    the windows that open in the next 62 days.
    """
    with db.as_user(actor, read_only=True) as tx:
        rows = windows.preview(
            tx, body.timezone, clock.now(), before=asked.after, offset=asked.offset, limit=asked.fetch
        )
    return asked.page(rows, [MovesOut.of(row) for row in rows], [str(row.participant_id) for row in rows])
