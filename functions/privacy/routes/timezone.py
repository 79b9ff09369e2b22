"""HTTP of the preview of a change of zone."""

from datetime import date, datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field

from challenges import zone_change
from challenges.zone_change import PREVIEW_PERIOD, ChallengePreview, WindowMove
from chally import clock, db, http, limits
from chally.body import Body
from chally.http import CurrentActor
from chally.paging import Page, PageParams
from chally.zones import Zone

router = http.router("privacy")


class TimezoneIn(Body):
    timezone: Zone


class PreviewChallengeOut(BaseModel):
    id: UUID
    title: str


class WindowTimesOut(BaseModel):
    opens_at: datetime
    closes_at: datetime
    timezone: str


class WindowMoveOut(BaseModel):
    """A window before and after the change."""

    local_date: date
    from_: Annotated[WindowTimesOut, Field(alias="from", serialization_alias="from")]
    to: WindowTimesOut

    @classmethod
    def of(cls, move: WindowMove) -> Self:
        return cls.model_validate(
            {
                "local_date": move.local_date,
                "from": WindowTimesOut(
                    opens_at=move.old_opens_at, closes_at=move.old_closes_at, timezone=move.old_timezone
                ),
                "to": WindowTimesOut(opens_at=move.opens_at, closes_at=move.closes_at, timezone=move.timezone),
            }
        )


class TimezonePreviewOut(BaseModel):
    """The windows of one challenge that the change would move. Windows whose times stay the same are left out."""

    challenge: PreviewChallengeOut
    windows: Annotated[
        list[WindowMoveOut], Field(description=f"Windows that open within the next {PREVIEW_PERIOD.days} days")
    ]

    @classmethod
    def of(cls, preview: ChallengePreview) -> Self:
        return cls(
            challenge=PreviewChallengeOut(id=preview.challenge_id, title=preview.title),
            windows=[WindowMoveOut.of(move) for move in preview.moves],
        )


@router.post(
    "/v1/me/timezone/preview",
    summary="Preview a change of time zone",
    # a preview computes up to three years of windows for each challenge
    dependencies=[limits.per_account("timezone_preview", body=TimezoneIn)],
)
async def preview_timezone(body: TimezoneIn, actor: CurrentActor, paging: PageParams) -> Page[TimezonePreviewOut]:
    """Preview which windows PATCH /v1/me with this `timezone` would move now. Nothing is changed.

    Lists every challenge that follows your account's time zone and is not over, the one joined last first, with the
    windows that open in the next 62 days.
    """
    with db.as_user(actor, read_only=True) as tx:
        rows = zone_change.preview(
            tx, body.timezone, clock.now(), before=paging.after, offset=paging.offset, limit=paging.fetch_limit
        )
    return paging.page(rows, [TimezonePreviewOut.of(row) for row in rows], [str(row.participant_id) for row in rows])
