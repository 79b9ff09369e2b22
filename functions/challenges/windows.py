"""Windows: when each participant may prove each day. The semantics are those of the HTTP contract, "Windows, exactly".

One set-based statement computes them for any number of participants: precomputed for everybody's yesterday to the day
after tomorrow, and computed on the fly where a stored one is missing. A stored window wins over a computed one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from challenges.rules import Outcome
from chally.db import Tx
from chally.zones import tzdata_version
from notifications import reminders

# D-1 to D+2 of the participant's local date: at any instant three dates are somebody's today.
DAYS_BACK, DAYS_AHEAD = 1, 2
LOOK_AHEAD = 8  # the next window of a weekly schedule


@dataclass(frozen=True, slots=True)
class Window:
    """One participant's window of one local date. `stored`: it was precomputed. Instants are UTC."""

    participant_id: UUID
    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str
    tzdata: str
    outcome: Outcome | None
    stored: bool
    proofs: list[dict[str, Any]]


# {people}: which participants. Parameters: first and last, the dates wanted; where null they count from the local date
# of now, or of the challenge's start when that is later and `from_start` is set.
_COMPUTED = """
    people as (
        select p.id, p.user_id, p.joined_at, p.timezone_since, p.timezone_since > p.joined_at as moved,
               busy_until, c.title, c.starts_at, c.ends_at, zone,
               (c.rules #>> '{{schedule,opens}}')::time as opens, (c.rules #>> '{{schedule,closes}}')::time as closes,
               c.rules #> '{{schedule,days}}' as days,
               (c.rules #>> '{{reminders,before_close_minutes}}')::integer as remind,
               coalesce(%(first)s::date, (seen at time zone zone)::date - %(back)s) as first,
               coalesce(%(last)s::date, (seen at time zone zone)::date + %(ahead)s) as last
        from challenges.participants p
        join challenges.challenges c on c.id = p.challenge_id
        cross join lateral (
            select case c.rules #>> '{{schedule,scope}}' when 'challenge_tz' then c.timezone else p.timezone end as zone
        ) as scope
        -- after a change of zone the windows that had opened by then stay, and the next one waits for them (rule 6)
        left join lateral (
            select max(w.closes_at) as busy_until from challenges.windows w
            where p.timezone_since > p.joined_at and w.participant_id = p.id and w.opens_at <= p.timezone_since
        ) as opened on true
        cross join lateral (
            select case when %(from_start)s then greatest(%(now)s, c.starts_at) else %(now)s end as seen
        ) as looked
        where {people}
    ),
    walls as (
        select people.*, day::date as local_date, day::date + opens as opens_wall,
               -- closing at or before the opening is on the next day
               day::date + (closes <= opens)::integer + closes as closes_wall
        from people
        -- one day more before the first: its window may reach into the next (rule 2)
        cross join lateral generate_series(first - 1, last, interval '1 day') as day
        where days ? to_char(day, 'dy')
          -- rule 4: a date that the zone skipped reads back as another one
          and (((day::date + time '12:00') at time zone zone) at time zone zone)::date = day::date
    ),
    instants as (
        -- Postgres moves a time in a gap forward (rule 1) and takes the second occurrence in an overlap: right for a
        -- close. The first occurrence, for an opening, is found with the offset of the day before.
        select walls.*,
               case when first_opening at time zone zone = opens_wall
                    then first_opening else second_opening end as opening,
               closes_wall at time zone zone as closing
        from walls
        cross join lateral (select opens_wall at time zone zone as second_opening) as a
        cross join lateral (
            select (opens_wall - (
                (second_opening - interval '24 hours') at time zone zone
                - (second_opening - interval '24 hours') at time zone 'UTC'
            )) at time zone 'UTC' as first_opening
        ) as b
    ),
    apart as (
        -- rule 2: where two would overlap, the later opens when the earlier closes
        select instants.*,
               greatest(opening, lag(closing) over (partition by id order by local_date), busy_until) as begins
        from instants
    ),
    computed as (
        select id as participant_id, user_id, title, local_date, zone as timezone, remind, joined_at, first, moved,
               timezone_since,
               greatest(begins, starts_at) as opens_at,
               -- rule 3: where nothing is left, it closes its nominal length after it opens, on the wall clock
               least(ends_at, case when closing > begins then closing else
                   ((begins at time zone zone) + (closes_wall - opens_wall)) at time zone zone end) as closes_at
        from apart
    ),
    wanted as (
        -- rule 5: clipped to the challenge; dates begin with the first window that closes after joining
        select * from computed
        where local_date >= first and opens_at < closes_at and closes_at > joined_at
          and (not moved or opens_at > timezone_since)
    )
"""

_READ = """
    select participant_id, local_date, coalesce(w.opens_at, x.opens_at) as opens_at,
           coalesce(w.closes_at, x.closes_at) as closes_at, coalesce(w.timezone, x.timezone) as timezone,
           coalesce(w.tzdata, %(tzdata)s) as tzdata, w.outcome, w.participant_id is not null as stored,
           coalesce((
               select jsonb_agg(jsonb_build_object('id', f.id, 'status', case
                          -- never uploaded: see proofs.rules.EXPIRES_AFTER
                          when f.status = 'awaiting_upload' and f.created_at <= %(now)s - interval '15 minutes'
                          then 'expired' else f.status end) order by f.id)
               from proofs.proofs f where f.participant_id = coalesce(w.participant_id, x.participant_id)
                 and f.local_date = coalesce(w.local_date, x.local_date)
           ), '[]') as proofs
    from wanted x
    -- what is stored is there, whatever would be computed today
    full join (
        select s.* from challenges.windows s join people on people.id = s.participant_id
        where s.local_date between people.first and people.last
    ) as w using (participant_id, local_date)
"""

_ONE = "p.id = %(participant_id)s"
_BATCH = """
    p.id in (
        select q.id from challenges.participants q join challenges.challenges d on d.id = q.challenge_id
        where q.id > %(after)s and d.status = 'active'
          and d.starts_at < %(now)s + interval '4 days' and d.ends_at > %(now)s - interval '2 days'
        order by q.id limit %(limit)s
    )
"""


def between(tx: Tx, participant_id: UUID, first: date, last: date, now: datetime) -> list[Window]:
    """The participant's windows of the local dates `first` to `last`, both included, past or future."""
    return tx.all(
        f"with {_COMPUTED.format(people=_ONE)} {_READ} order by local_date",
        _parameters(now, participant_id=participant_id, first=first, last=last),
        row=Window,
    )


def current(tx: Tx, participant_id: UUID, now: datetime) -> Window | None:
    """The window that is open now, or else the next one; None when the challenge has no more."""
    return tx.maybe(
        f"""
        with {_COMPUTED.format(people=_ONE)}, read as ({_READ})
        select * from read where closes_at > %(now)s order by opens_at limit 1
        """,
        _parameters(now, participant_id=participant_id, ahead=LOOK_AHEAD, from_start=True),
        row=Window,
    )


def precompute(tx: Tx, participant_id: UUID, now: datetime, *, moved: bool = False) -> None:
    """Store one participant's windows around today, with their reminders.

    With `moved`, after a change of zone, windows that have opened stay, and a later one moves only to after `now`.
    """
    # two zones can be two dates apart: what the old one stored lies within two days more
    ahead = DAYS_AHEAD + (2 if moved else 0)
    parameters = _parameters(now, participant_id=participant_id, moved=moved, ahead=ahead)
    _plan(tx, tx.all(_store(_ONE), parameters, row=_Stored), now)


def precompute_batch(tx: Tx, after: UUID, limit: int, now: datetime) -> UUID | None:
    """Store the windows of the next `limit` participants with ids after `after`; the last one's id, None at the end."""
    parameters = _parameters(now, after=after, limit=limit)
    _plan(tx, tx.all(_store(_BATCH), parameters, row=_Stored), now)
    last: UUID | None = tx.value(
        f"select p.id from challenges.participants p where {_BATCH} order by p.id desc limit 1", parameters
    )
    return last


@dataclass(frozen=True, slots=True)
class _Stored:
    participant_id: UUID
    local_date: date
    user_id: UUID
    title: str
    timezone: str
    closes_at: datetime
    remind_at: datetime | None


def _store(people: str) -> str:
    """What was written or moved comes back, with what its reminder needs."""
    return f"""
        with {_COMPUTED.format(people=people)},
        stored as (
            insert into challenges.windows as w (participant_id, local_date, opens_at, closes_at, timezone, tzdata)
            select participant_id, local_date, opens_at, closes_at, timezone, %(tzdata)s
            from wanted
            on conflict (participant_id, local_date) do update set
                opens_at = excluded.opens_at, closes_at = excluded.closes_at, timezone = excluded.timezone,
                tzdata = excluded.tzdata
            where %(moved)s and w.opens_at > %(now)s and w.outcome is null
            returning w.participant_id, w.local_date, w.opens_at, w.closes_at, w.timezone
        )
        select s.participant_id, s.local_date, x.user_id, x.title, s.timezone, s.closes_at,
               greatest(s.opens_at, s.closes_at - make_interval(mins => x.remind)) as remind_at
        from stored s join wanted x using (participant_id, local_date)
    """


def _plan(tx: Tx, stored: Sequence[_Stored], now: datetime) -> None:
    reminders.plan(
        tx,
        [
            reminders.Reminder(
                participant_id=window.participant_id,
                local_date=window.local_date,
                user_id=window.user_id,
                title=window.title,
                timezone=window.timezone,
                due_at=window.remind_at,
                closes_at=window.closes_at,
            )
            for window in stored
            if window.remind_at is not None and window.closes_at > now
        ],
    )


def _parameters(now: datetime, **more: object) -> dict[str, object]:
    return {
        "now": now,
        "first": None,
        "last": None,
        "back": DAYS_BACK,
        "ahead": DAYS_AHEAD,
        "from_start": False,
        "moved": False,
        "tzdata": tzdata_version(),
    } | more


def decide(tx: Tx, participant_id: UUID, local_date: date, outcome: Outcome) -> None:
    """Write a window's outcome. Accepted stays: a late verdict turns a missed window, never the other way."""
    tx.run(
        """
        update challenges.windows set outcome = %(outcome)s
        where participant_id = %(participant_id)s and local_date = %(local_date)s
          and outcome is distinct from 'accepted'
        """,
        {"participant_id": participant_id, "local_date": local_date, "outcome": outcome},
    )


@dataclass(frozen=True, slots=True)
class Overdue:
    """A window that closed without an outcome; `runs`: its challenge is active."""

    participant_id: UUID
    local_date: date
    runs: bool


def overdue(tx: Tx, closed_before: datetime, limit: int) -> list[Overdue]:
    """Undecided windows that closed before an instant, the oldest first, held by this transaction alone."""
    return tx.all(
        """
        select w.participant_id, w.local_date, c.status = 'active' as runs
        from challenges.windows w
        join challenges.participants p on p.id = w.participant_id
        join challenges.challenges c on c.id = p.challenge_id
        where w.outcome is null and w.closes_at <= %(closed_before)s
        order by w.closes_at limit %(limit)s for update of w skip locked
        """,
        {"closed_before": closed_before, "limit": limit},
        row=Overdue,
    )
