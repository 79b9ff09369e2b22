"""Windows: when each participant can prove each day. functions/README.md lists the six rules.

The database computes windows, for any number of participants in one set-based statement. It stores them from yesterday
to the day after tomorrow, and computes the others when they are read. A stored window takes precedence over a computed
one. When a participant changes their zone, all their windows are stored. Only the functions in
`sql/windows.sql` and `sql/zones.sql` write a window's instants.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from challenges.rules import UPLOAD_TIMEOUT, Outcome, WindowProofStatus
from chally.db import Tx
from chally.zones import tzdata_version

LOOK_BACK = 1  # days; yesterday's window may still be open
LOOK_AHEAD = 8  # days; the next window of a weekly schedule


@dataclass(frozen=True, slots=True)
class WindowProof:
    """A proof sent in a window."""

    id: UUID
    status: WindowProofStatus


@dataclass(frozen=True, slots=True)
class Window:
    """One participant's window on one local date. Instants are UTC. `stored`: it is in the table, not just computed."""

    participant_id: UUID
    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str
    tzdata: str
    outcome: Outcome | None
    stored: bool
    proof_ids: list[UUID]
    proof_statuses: list[WindowProofStatus]

    @property
    def proofs(self) -> list[WindowProof]:
        """The proofs of the window, oldest first."""
        return [WindowProof(*each) for each in zip(self.proof_ids, self.proof_statuses, strict=True)]


@dataclass(frozen=True, slots=True)
class FirstWindow:
    """The window with which a participant's dates begin. `late`: they joined after the challenge had started."""

    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str
    late: bool


def between(tx: Tx, participant_id: UUID, first: date, last: date, now: datetime) -> list[Window]:
    """Return the participant's windows of the local dates `first` to `last` (inclusive), past or future."""
    return tx.all(_select(), _parameters(now, participant_id=participant_id, first=first, last=last), row=Window)


def current(tx: Tx, participant_id: UUID, now: datetime) -> Window | None:
    """Return the window that is open now, or else the next one; None if the challenge has no more windows."""
    return tx.maybe(
        _select("where closes_at > %(now)s order by opens_at limit 1"),
        _parameters(now, participant_id=participant_id, from_start=True),
        row=Window,
    )


def first(tx: Tx, participant_id: UUID) -> FirstWindow | None:
    """Return the first window that closes after the participant joined; None if the challenge has none."""
    return tx.maybe(
        """
        select w.local_date, w.opens_at, w.closes_at, w.timezone, p.joined_at > c.starts_at as late
        from challenges.participants p
        join challenges.challenges c on c.id = p.challenge_id
        cross join lateral challenges.effective_windows(
            array[p.id], null, null, p.joined_at, %(back)s, %(ahead)s, true
        ) as w
        where p.id = %(participant_id)s and w.closes_at > p.joined_at
        order by w.opens_at limit 1
        """,
        {"participant_id": participant_id, "back": LOOK_BACK, "ahead": LOOK_AHEAD},
        row=FirstWindow,
    )


def _select(condition: str = "") -> str:
    return f"""
        select w.participant_id, w.local_date, w.opens_at, w.closes_at, w.timezone,
               coalesce(w.tzdata, %(tzdata)s) as tzdata, w.outcome, w.stored, f.proof_ids, f.proof_statuses
        from (
            select * from challenges.effective_windows(
                array[%(participant_id)s::uuid], %(first)s, %(last)s, %(now)s, %(back)s, %(ahead)s, %(from_start)s
            ) {condition}
        ) as w
        cross join lateral (
            select coalesce(array_agg(f.id order by f.id), '{{}}') as proof_ids,
                   coalesce(array_agg(case
                       when f.status = 'awaiting_upload' and f.created_at <= %(now)s - %(upload_timeout)s
                       then 'expired' else f.status end order by f.id), '{{}}') as proof_statuses
            from challenges.window_proofs f where f.participant_id = w.participant_id and f.local_date = w.local_date
        ) as f
        order by w.local_date
    """


def precompute(tx: Tx, participant_id: UUID, now: datetime) -> None:
    """Store the windows of a participation of the actor from yesterday to the day after tomorrow, with reminders."""
    tx.run(
        "select challenges.precompute_own_windows(%(participant_id)s, %(now)s)",
        {"participant_id": participant_id, "now": now},
    )


def list_people(tx: Tx, after: UUID, limit: int, now: datetime) -> list[UUID]:
    """List the next `limit` participants, by id, whose windows around now may be missing."""
    people: list[UUID] = tx.value(
        """
        select coalesce(array_agg(id order by id), '{}') from (
            select p.id from challenges.participants p join challenges.challenges c on c.id = p.challenge_id
            where p.id > %(after)s and c.status = 'active'
              and c.starts_at < %(now)s + interval '4 days' and c.ends_at > %(now)s - interval '2 days'
            order by p.id limit %(limit)s
        ) as batch
        """,
        {"after": after, "limit": limit, "now": now},
    )
    return people


def precompute_batch(tx: Tx, after: UUID, limit: int, now: datetime) -> UUID | None:
    """Store the windows of the next `limit` participants, in order of id, whose ids are greater than `after`.

    Return the last participant's id, to be passed as the next `after`; None if no participants are left.
    """
    people = list_people(tx, after, limit, now)
    if not people:
        return None
    precompute_people(tx, people, now)
    return people[-1]


def precompute_people(tx: Tx, people: Sequence[UUID], now: datetime) -> None:
    """Store the windows of these participants from yesterday to the day after tomorrow, with their reminders."""
    # Exclude edits of the schedules, which would leave windows of the former schedule. The lock comes before the plan,
    # so that the plan's statement sees the edited schedule.
    tx.run(
        """
        select pg_advisory_xact_lock_shared(hashtextextended('schedule of ' || id, 0)) from (
            select distinct c.id from unnest(%(people)s::uuid[]) as person (id)
            -- each by its primary key
            cross join lateral (select * from challenges.participants where id = person.id offset 0) as p
            cross join lateral (
                select * from challenges.challenges where id = p.challenge_id and starts_at > %(now)s offset 0
            ) as c
            order by c.id
        ) as editable
        """,
        {"people": list(people), "now": now},
    )
    tx.run(
        """
        select challenges.precompute_windows(%(people)s, %(now)s, %(tzdata)s),
               challenges.plan_reminders(%(people)s, %(now)s)
        """,
        {"people": list(people), "now": now, "tzdata": tzdata_version()},
    )


def _parameters(now: datetime, **more: object) -> dict[str, object]:
    return {
        "now": now,
        "first": None,
        "last": None,
        "back": LOOK_BACK,
        "ahead": LOOK_AHEAD,
        "from_start": False,
        "tzdata": tzdata_version(),
        "upload_timeout": UPLOAD_TIMEOUT,
    } | more
