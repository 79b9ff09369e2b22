"""All SQL of notifications. One function, one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class Contact:
    email: str
    username: str
    timezone: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Reminder:
    participant_id: UUID
    local_date: date
    user_id: UUID
    title: str
    timezone: str
    due_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True)
class Due(Reminder):
    """A reminder whose time has come; `runs`: its challenge is active; `wanted`: its person wants any, and is here."""

    runs: bool
    wanted: bool


def contact(tx: Tx, user_id: UUID) -> Contact | None:
    return tx.maybe(
        "select email, username, timezone, verified from identity.contacts where id = %(id)s",
        {"id": user_id},
        row=Contact,
    )


def plan(tx: Tx, reminders: Sequence[Reminder]) -> None:
    """Write or move reminders that have not been sent; set-based, one statement for all."""
    tx.run(
        """
        insert into notifications.reminders
            (participant_id, local_date, user_id, title, timezone, due_at, closes_at)
        select * from unnest(
            %(participant_ids)s::uuid[], %(local_dates)s::date[], %(user_ids)s::uuid[], %(titles)s::text[],
            %(timezones)s::text[], %(due)s::timestamptz[], %(closes)s::timestamptz[]
        )
        on conflict (participant_id, local_date) do update set
            title = excluded.title, timezone = excluded.timezone, due_at = excluded.due_at,
            closes_at = excluded.closes_at
        where reminders.sent_at is null
        """,
        {
            "participant_ids": [reminder.participant_id for reminder in reminders],
            "local_dates": [reminder.local_date for reminder in reminders],
            "user_ids": [reminder.user_id for reminder in reminders],
            "titles": [reminder.title for reminder in reminders],
            "timezones": [reminder.timezone for reminder in reminders],
            "due": [reminder.due_at for reminder in reminders],
            "closes": [reminder.closes_at for reminder in reminders],
        },
    )


def clear(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> None:
    tx.run(
        """
        update notifications.reminders set cleared_at = %(now)s
        where participant_id = %(participant_id)s and local_date = %(local_date)s
          and sent_at is null and cleared_at is null
        """,
        {"participant_id": participant_id, "local_date": local_date, "now": now},
    )


def take_due(tx: Tx, now: datetime, limit: int) -> list[Due]:
    """Due reminders, taken by this transaction alone. What came due after its window closed is never sent."""
    return tx.all(
        """
        update notifications.reminders r set sent_at = %(now)s
        from (
            select r.participant_id, r.local_date, c.status = 'active' and p.left_at is null as runs,
                coalesce(who.wants_reminders, false) as wanted
            from notifications.reminders r
            join challenges.participants p on p.id = r.participant_id
            join challenges.challenges c on c.id = p.challenge_id
            left join identity.contacts who on who.id = r.user_id
            where r.due_at <= %(now)s and r.sent_at is null and r.cleared_at is null
            order by r.due_at limit %(limit)s for update of r skip locked
        ) as due
        where r.participant_id = due.participant_id and r.local_date = due.local_date
        returning r.participant_id, r.local_date, r.user_id, r.title, r.timezone, r.due_at, r.closes_at,
            due.runs, due.wanted
        """,
        {"now": now, "limit": limit},
        row=Due,
    )
