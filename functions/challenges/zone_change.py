"""Changes of a participant's time zone: rule 6 of the windows (functions/README.md).

Windows that have opened stay, later ones move to the new zone, and no date is added or removed. The rule itself is the
SQL function `challenges.windows_after_zone_change`, which both the change and its preview use. It stays in SQL because
the change reads, computes and writes in one statement: computing in Python would cost one more round trip on PATCH
/v1/me and on a join that changes the zone, and would send the windows of up to 200 challenges twice.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from chally.db import Tx
from chally.zones import tzdata_version

PREVIEW_PERIOD = timedelta(days=62)


@dataclass(frozen=True, slots=True)
class WindowMove:
    """A window before and after a change of zone."""

    local_date: date
    old_opens_at: datetime
    old_closes_at: datetime
    old_timezone: str
    opens_at: datetime
    closes_at: datetime
    timezone: str


@dataclass(frozen=True, slots=True)
class ChallengePreview:
    """What a change of the account's zone would move in one of the actor's challenges: parallel arrays of windows."""

    participant_id: UUID
    challenge_id: UUID
    title: str
    local_date: list[date]
    old_opens_at: list[datetime]
    old_closes_at: list[datetime]
    old_timezone: list[str]
    opens_at: list[datetime]
    closes_at: list[datetime]
    timezone: list[str]

    @property
    def moves(self) -> list[WindowMove]:
        """The windows whose instants would change, oldest first."""
        columns = (
            self.local_date,
            self.old_opens_at,
            self.old_closes_at,
            self.old_timezone,
            self.opens_at,
            self.closes_at,
            self.timezone,
        )
        return [WindowMove(*each) for each in zip(*columns, strict=True)]


def move_account(tx: Tx, user_id: UUID, zone: str, now: datetime) -> None:
    """Change the zone of a person's participations that follow their account. Call it before the account changes."""
    tx.run(
        "select challenges.change_account_zone(%(user_id)s, %(zone)s, %(now)s, %(tzdata)s)",
        {"user_id": user_id, "zone": zone, "now": now, "tzdata": tzdata_version()},
    )


def move_participant(tx: Tx, participant_id: UUID, zone: str, now: datetime) -> None:
    """Change the zone of a participation of the actor."""
    tx.run(
        "select challenges.change_own_zone(%(participant_id)s, %(zone)s, %(now)s)",
        {"participant_id": participant_id, "zone": zone, "now": now},
    )


def preview(
    tx: Tx, zone: str, now: datetime, *, before: UUID | None, offset: int, limit: int
) -> list[ChallengePreview]:
    """Return what a change of the account's zone would do now to the actor's windows that open in `PREVIEW_PERIOD`.

    The challenge joined last comes first. `before` is a participant's id. Raises InvalidParameterValue for a zone that
    Postgres does not know, even if nothing would move, as the change itself would.
    """
    return tx.all(
        """
        select f.participant_id, f.challenge_id, f.title, moves.*
        from (
            select * from challenges.participations_in_account_zone(core.actor(), %(now)s)
            where local and status <> 'draft' and (%(before)s::uuid is null or participant_id < %(before)s)
            order by participant_id desc offset %(offset)s limit %(limit)s
        ) as f
        cross join lateral (
            select coalesce(array_agg(w.local_date order by w.local_date), '{}') as local_date,
                   coalesce(array_agg(w.old_opens_at order by w.local_date), '{}') as old_opens_at,
                   coalesce(array_agg(w.old_closes_at order by w.local_date), '{}') as old_closes_at,
                   coalesce(array_agg(w.old_timezone order by w.local_date), '{}') as old_timezone,
                   coalesce(array_agg(w.opens_at order by w.local_date), '{}') as opens_at,
                   coalesce(array_agg(w.closes_at order by w.local_date), '{}') as closes_at,
                   coalesce(array_agg(w.timezone order by w.local_date), '{}') as timezone
            from identity.users u
            cross join challenges.windows_after_zone_change(f.participant_id, %(zone)s, %(now)s) as w
            where u.id = core.actor() and u.timezone <> %(zone)s and not w.stays
              and w.old_opens_at < %(now)s + %(period)s
              and (w.opens_at, w.closes_at) <> (w.old_opens_at, w.old_closes_at)
        ) as moves
        where %(now)s at time zone %(zone)s is not null
        order by f.participant_id desc
        """,
        {"zone": zone, "now": now, "before": before, "offset": offset, "limit": limit, "period": PREVIEW_PERIOD},
        row=ChallengePreview,
    )
