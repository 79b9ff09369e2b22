"""SQL of changes of clocks: whose windows and reminders they can move. One function, one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from uuid import UUID

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A participant, and what their windows follow. `zone` is the one of the schedule; `moved`: it has changed."""

    participant_id: UUID
    opens: time
    closes: time
    days: list[str]
    zone: str
    moved: bool
    starts_at: datetime
    ends_at: datetime
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class WindowRow:
    participant_id: UUID
    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str


def list_participants(tx: Tx, zones: Sequence[str], now: datetime, *, after: UUID, limit: int) -> list[UUID]:
    """The next `limit` participants, by id, of challenges that run in these days, who have to do with these zones.

    It does not read the rules, because one that is broken would fail the statement.
    """
    return list(
        tx.value(
            """
            select coalesce(array_agg(participant_id order by participant_id), '{}') from (
                select p.id as participant_id
                from challenges.participants p
                join challenges.challenges c on c.id = p.challenge_id
                join identity.users u on u.id = p.user_id
                where p.id > %(after)s and p.left_at is null and c.status = 'active'
                  and c.starts_at < %(now)s + interval '4 days' and c.ends_at > %(now)s - interval '2 days'
                  and (p.timezone = any (%(zones)s) or c.timezone = any (%(zones)s) or u.timezone = any (%(zones)s))
                order by p.id limit %(limit)s
            ) as batch
            """,
            {"zones": list(zones), "now": now, "after": after, "limit": limit},
        )
    )


def list_schedules(tx: Tx, participants: Sequence[UUID], zones: Sequence[str]) -> list[ScheduleRow]:
    """Those of these participants whose windows or quiet hours follow one of these zones."""
    return tx.all(
        """
        select p.id as participant_id, s.opens, s.closes, s.days, used.zone,
               s.local and p.timezone_since > p.joined_at as moved, c.starts_at, c.ends_at, p.joined_at
        from challenges.participants p
        join challenges.challenges c on c.id = p.challenge_id
        join identity.users u on u.id = p.user_id
        cross join lateral challenges.schedule(c.rules) as s
        cross join lateral (select case when s.local then p.timezone else c.timezone end as zone) as used
        where p.id = any (%(participants)s) and (used.zone = any (%(zones)s) or u.timezone = any (%(zones)s))
        order by p.id
        """,
        {"participants": list(participants), "zones": list(zones)},
        row=ScheduleRow,
    )


def list_windows(tx: Tx, participants: Sequence[UUID], first: date, last: date, now: datetime) -> list[WindowRow]:
    """The windows of these participants on the local dates `first` to `last`, as they are in effect."""
    return tx.all(
        """
        select participant_id, local_date, opens_at, closes_at, timezone
        from challenges.effective_windows(%(participants)s, %(first)s, %(last)s, %(now)s, 0, 0, false)
        order by participant_id, local_date
        """,
        {"participants": list(participants), "first": first, "last": last, "now": now},
        row=WindowRow,
    )
