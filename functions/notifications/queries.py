"""All SQL of notifications. One function, one statement."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from uuid import UUID

from chally.db import Tx

Skipped = Literal["closed", "stopped", "left", "unwanted", "quiet"]


@dataclass(frozen=True, slots=True)
class Contact:
    email: str
    username: str
    timezone: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """A reminder that was due, and what becomes of it: `sent`, `skipped` for a reason, or neither, and due later."""

    participant_id: UUID
    local_date: date
    user_id: UUID
    title: str
    timezone: str
    due_at: datetime
    closes_at: datetime
    sent: bool
    skipped: Skipped | None


@dataclass(frozen=True, slots=True)
class Record:
    """A window with a reminder, what is recorded of that (None throughout where there is no record), and the quiet
    hours of its person as they are, since `quiet_since`.
    """

    participant_id: UUID
    local_date: date
    opens_at: datetime
    closes_at: datetime
    before_close_minutes: int
    zone: str
    quiet_from: time | None
    quiet_to: time | None
    quiet_since: datetime | None
    recorded: bool
    planned_at: datetime | None
    due_at: datetime | None
    sent_at: datetime | None
    cleared_at: datetime | None
    skipped: Skipped | None


def contact(tx: Tx, user_id: UUID) -> Contact | None:
    return tx.maybe(
        "select email, username, timezone, verified from identity.contacts where id = %(id)s",
        {"id": user_id},
        row=Contact,
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


def restore(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> None:
    tx.run(
        "select notifications.restore(%(participant_id)s, %(local_date)s, %(now)s)",
        {"participant_id": participant_id, "local_date": local_date, "now": now},
    )


def take_due(tx: Tx, now: datetime, late: timedelta, limit: int) -> list[Taken]:
    """Due reminders, taken by this transaction alone, each with its fate written down.

    What came due after its window closed is never sent. When one is late, or was planned by other preferences than its
    person has now, it is asked once more when to remind: it may have become quiet meanwhile.
    """
    return tx.all(
        """
        with due as (
            select r.participant_id, r.local_date, case
                    when r.due_at >= %(now)s - %(late)s and r.planned_by is not distinct from who.quiet_since
                    then r.due_at
                    else notifications.due(
                        r.nominal_at, r.opens_at, r.closes_at, who.timezone, who.quiet_from, who.quiet_to, %(now)s
                    ) end as due_at,
                case
                    when r.closes_at <= %(now)s then 'closed'
                    when p.left_at is not null or who.id is null then 'left'
                    when c.status <> 'active' then 'stopped'
                    when not who.wants_reminders then 'unwanted' end as skipped
            from notifications.reminders r
            join challenges.participants p on p.id = r.participant_id
            join challenges.challenges c on c.id = p.challenge_id
            left join identity.contacts who on who.id = r.user_id
            where r.due_at <= %(now)s and r.sent_at is null and r.cleared_at is null and r.skipped is null
            order by r.due_at limit %(limit)s for update of r skip locked
        ), fate as (
            select participant_id, local_date, coalesce(skipped, case when due_at is null then 'quiet' end) as skipped,
                due_at > %(now)s as later, due_at
            from due
        )
        update notifications.reminders r set
            skipped = fate.skipped,
            sent_at = case when fate.skipped is null and not fate.later then %(now)s end,
            due_at = case when fate.skipped is null and fate.later then fate.due_at else r.due_at end,
            planned_at = case when fate.skipped is null and fate.later then %(now)s else r.planned_at end
        from fate where r.participant_id = fate.participant_id and r.local_date = fate.local_date
        returning r.participant_id, r.local_date, r.user_id, r.title, r.timezone, old.due_at, r.closes_at,
            r.sent_at is not null as sent, r.skipped
        """,
        {"now": now, "late": late, "limit": limit},
        row=Taken,
    )


def participants(tx: Tx, since: datetime, until: datetime, *, after: UUID, limit: int) -> list[UUID]:
    """The next `limit` participants, by id, of challenges that ran at any time between two instants."""
    return list(
        tx.value(
            """
            select coalesce(array_agg(id order by id), '{}') from (
                select p.id from challenges.participants p join challenges.challenges c on c.id = p.challenge_id
                where p.id > %(after)s and c.starts_at < %(until)s and c.ends_at > %(since)s
                order by p.id limit %(limit)s
            ) as batch
            """,
            {"since": since, "until": until, "after": after, "limit": limit},
        )
    )


def records(tx: Tx, people: list[UUID], since: date, until: date) -> list[Record]:
    """The windows of participants that ask for a reminder, of the local dates `since` to `until`, with its record."""
    return tx.all(
        """
        select w.participant_id, w.local_date, w.opens_at, w.closes_at, schedule.remind as before_close_minutes,
            u.timezone as zone, u.quiet_from, u.quiet_to, u.quiet_since,
            r.participant_id is not null as recorded, r.planned_at, r.due_at, r.sent_at, r.cleared_at, r.skipped
        from challenges.windows w
        join challenges.participants p on p.id = w.participant_id
        join challenges.challenges c on c.id = p.challenge_id
        join identity.users u on u.id = p.user_id
        cross join lateral challenges.schedule(c.rules) as schedule
        left join notifications.reminders r on r.participant_id = w.participant_id and r.local_date = w.local_date
        where w.participant_id = any (%(people)s) and w.local_date between %(since)s and %(until)s
          and schedule.remind is not null and u.purged_at is null
        """,
        {"people": people, "since": since, "until": until},
        row=Record,
    )
