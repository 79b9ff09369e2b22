"""SQL of notifications. One function, one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from uuid import UUID

from chally.db import Tx

SkipReason = Literal["closed", "stopped", "left", "unwanted", "quiet"]


@dataclass(frozen=True, slots=True)
class Contact:
    id: UUID
    email: str
    username: str
    timezone: str
    verified: bool
    wants_reminders: bool


@dataclass(frozen=True, slots=True)
class DueReminder:
    """A reminder that was due, and its outcome: `sent`, `skipped` for a reason, or neither if it was postponed."""

    participant_id: UUID
    local_date: date
    user_id: UUID
    title: str
    timezone: str
    due_at: datetime
    closes_at: datetime
    sent: bool
    skipped: SkipReason | None


@dataclass(frozen=True, slots=True)
class ReminderRow:
    """A window that needs a reminder, the reminder's row, and the current quiet hours of its person.

    `recorded` is False if the window has no reminder, whose columns are then None. `quiet_since`: when the person last
    changed their quiet hours.
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
    skipped: SkipReason | None


def find_contact(tx: Tx, user_id: UUID) -> Contact | None:
    return tx.maybe(
        "select id, email, username, timezone, verified, wants_reminders from identity.contacts where id = %(id)s",
        {"id": user_id},
        row=Contact,
    )


def clear_reminder(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> None:
    tx.run(
        """
        update notifications.reminders set cleared_at = %(now)s
        where participant_id = %(participant_id)s and local_date = %(local_date)s
          and sent_at is null and cleared_at is null
        """,
        {"participant_id": participant_id, "local_date": local_date, "now": now},
    )


def restore_reminder(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> None:
    tx.run(
        "select notifications.restore_reminder(%(participant_id)s, %(local_date)s, %(now)s)",
        {"participant_id": participant_id, "local_date": local_date, "now": now},
    )


def reschedule_reminders(tx: Tx, user_id: UUID, now: datetime) -> None:
    tx.run("select notifications.replan_reminders(%(user_id)s, %(now)s)", {"user_id": user_id, "now": now})


@dataclass(frozen=True, slots=True)
class ReminderKey:
    participant_id: UUID
    local_date: date


def list_due(tx: Tx, now: datetime, limit: int, *, without: Sequence[ReminderKey] = ()) -> list[ReminderKey]:
    """List the oldest `limit` due reminders, except `without`."""
    return tx.all(
        """
        select participant_id, local_date from notifications.reminders r
        where r.due_at <= %(now)s and r.sent_at is null and r.cleared_at is null and r.skipped is null
          and not exists (
              select from unnest(%(participants)s::uuid[], %(dates)s::date[]) as x (participant_id, local_date)
              where x.participant_id = r.participant_id and x.local_date = r.local_date
          )
        order by r.due_at limit %(limit)s
        """,
        {"now": now, "limit": limit} | _columns(without),
        row=ReminderKey,
    )


def _columns(keys: Sequence[ReminderKey]) -> dict[str, object]:
    return {"participants": [key.participant_id for key in keys], "dates": [key.local_date for key in keys]}


def claim_due(
    tx: Tx, now: datetime, late: timedelta, limit: int, among: Sequence[ReminderKey] | None = None
) -> list[DueReminder]:
    """Claim due reminders for this transaction, and write the outcome of each. `among`: only these.

    A reminder is never sent after its window closed. If it is late, or if quiet hours changed since it was planned, its
    due time is computed again.
    """
    return tx.all(
        """
        with due as (
            select r.participant_id, r.local_date, case
                    when r.due_at >= %(now)s - %(late)s and r.planned_by is not distinct from person.quiet_since
                    then r.due_at
                    else notifications.due_instant(
                        r.nominal_at, r.opens_at, r.closes_at,
                        person.timezone, person.quiet_from, person.quiet_to, %(now)s
                    ) end as due_at,
                case
                    when r.closes_at <= %(now)s then 'closed'
                    when not p.is_present or person.id is null then 'left'
                    when not p.is_active then 'stopped'
                    when not person.wants_reminders then 'unwanted' end as skipped
            from notifications.reminders r
            join notifications.participations p on p.participant_id = r.participant_id
            left join identity.contacts person on person.id = r.user_id
            where r.due_at <= %(now)s and r.sent_at is null and r.cleared_at is null and r.skipped is null
              and (%(all)s or (r.participant_id, r.local_date) in (
                  select x.participant_id, x.local_date
                  from unnest(%(participants)s::uuid[], %(dates)s::date[]) as x (participant_id, local_date)
              ))
            order by r.due_at limit %(limit)s for update of r skip locked
        ), outcome as (
            select participant_id, local_date, coalesce(skipped, case when due_at is null then 'quiet' end) as skipped,
                due_at > %(now)s as later, due_at
            from due
        )
        update notifications.reminders r set
            skipped = outcome.skipped,
            sent_at = case when outcome.skipped is null and not outcome.later then %(now)s end,
            due_at = case when outcome.skipped is null and outcome.later then outcome.due_at else r.due_at end,
            planned_at = case when outcome.skipped is null and outcome.later then %(now)s else r.planned_at end
        from outcome where r.participant_id = outcome.participant_id and r.local_date = outcome.local_date
        returning r.participant_id, r.local_date, r.user_id, r.title, r.timezone, old.due_at, r.closes_at,
            r.sent_at is not null as sent, r.skipped
        """,
        {"now": now, "late": late, "limit": limit, "all": among is None} | _columns(among or ()),
        row=DueReminder,
    )


def list_participants(tx: Tx, since: datetime, until: datetime, *, after: UUID, limit: int) -> list[UUID]:
    """The next `limit` participants, by id, of challenges that ran at any time between two instants."""
    return list(
        tx.value(
            """
            select coalesce(array_agg(participant_id order by participant_id), '{}') from (
                select p.participant_id from notifications.participations p
                where p.participant_id > %(after)s and p.starts_at < %(until)s and p.ends_at > %(since)s
                order by p.participant_id limit %(limit)s
            ) as batch
            """,
            {"since": since, "until": until, "after": after, "limit": limit},
        )
    )


def list_reminders(tx: Tx, participants: list[UUID], since: date, until: date) -> list[ReminderRow]:
    """The windows of participants that need a reminder, for the local dates `since` to `until`."""
    return tx.all(
        """
        select w.participant_id, w.local_date, w.opens_at, w.closes_at, w.before_close_minutes,
            u.timezone as zone, u.quiet_from, u.quiet_to, u.quiet_since,
            r.participant_id is not null as recorded, r.planned_at, r.due_at, r.sent_at, r.cleared_at, r.skipped
        from notifications.windows w
        join identity.users u on u.id = w.user_id
        left join notifications.reminders r on r.participant_id = w.participant_id and r.local_date = w.local_date
        where w.participant_id = any (%(participants)s) and w.local_date between %(since)s and %(until)s
          and u.purged_at is null
        """,
        {"participants": participants, "since": since, "until": until},
        row=ReminderRow,
    )
