"""Windows: when each participant may prove each day. The semantics are those of the HTTP contract, "Windows, exactly".

The database computes them, for any number of participants in one set-based statement: stored for everybody's yesterday
to the day after tomorrow, and computed on the fly where a stored one is missing. A stored window wins over a computed
one. Who changes their zone has all their windows stored. The functions are in the migrations `windows` and `zones`:
nobody writes a window but through them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from challenges.rules import Outcome
from chally.db import Tx
from chally.zones import tzdata_version

# D-1 to D+2 of the participant's local date: at any instant three dates are somebody's today.
DAYS_BACK, DAYS_AHEAD = 1, 2
LOOK_AHEAD = 8  # the next window of a weekly schedule
FORESEEN = timedelta(days=62)  # by a preview


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


_READ = """
    select participant_id, local_date, opens_at, closes_at, timezone, coalesce(tzdata, %(tzdata)s) as tzdata, outcome,
           stored,
           coalesce((
               select jsonb_agg(jsonb_build_object('id', f.id, 'status', case
                          -- never uploaded: see proofs.rules.EXPIRES_AFTER
                          when f.status = 'awaiting_upload' and f.created_at <= %(now)s - interval '15 minutes'
                          then 'expired' else f.status end) order by f.id)
               from proofs.proofs f where f.participant_id = w.participant_id and f.local_date = w.local_date
           ), '[]') as proofs
    from challenges.present(
        array[%(participant_id)s::uuid], %(first)s, %(last)s, %(now)s, %(back)s, %(ahead)s, %(from_start)s
    ) as w
"""


def between(tx: Tx, participant_id: UUID, first: date, last: date, now: datetime) -> list[Window]:
    """The participant's windows of the local dates `first` to `last`, both included, past or future."""
    return tx.all(
        f"{_READ} order by local_date",
        _asked(now, participant_id=participant_id, first=first, last=last),
        row=Window,
    )


def current(tx: Tx, participant_id: UUID, now: datetime) -> Window | None:
    """The window that is open now, or else the next one; None when the challenge has no more."""
    return tx.maybe(
        f"{_READ} where closes_at > %(now)s order by opens_at limit 1",
        _asked(now, participant_id=participant_id, ahead=LOOK_AHEAD, from_start=True),
        row=Window,
    )


def precompute(tx: Tx, participant_id: UUID, now: datetime) -> None:
    """Store one participant's windows around today, with their reminders."""
    _plan(tx, [participant_id], now)


def precompute_batch(tx: Tx, after: UUID, limit: int, now: datetime) -> UUID | None:
    """Store the windows of the next `limit` participants with ids after `after`; the last one's id, None at the end."""
    people: list[UUID] | None = tx.value(
        """
        select array_agg(id order by id) from (
            select p.id from challenges.participants p join challenges.challenges c on c.id = p.challenge_id
            where p.id > %(after)s and c.status = 'active'
              and c.starts_at < %(now)s + interval '4 days' and c.ends_at > %(now)s - interval '2 days'
            order by p.id limit %(limit)s
        ) as batch
        """,
        {"after": after, "limit": limit, "now": now},
    )
    if not people:
        return None
    # who edits a schedule waits, or is waited for: windows of the former one would stay. Before the plan, whose
    # statement then sees what was edited.
    tx.run(
        """
        select pg_advisory_xact_lock_shared(hashtextextended('schedule of ' || id, 0)) from (
            select distinct c.id from unnest(%(people)s::uuid[]) as person (id)
            -- by their keys, one by one
            cross join lateral (select * from challenges.participants where id = person.id offset 0) as p
            cross join lateral (
                select * from challenges.challenges where id = p.challenge_id and starts_at > %(now)s offset 0
            ) as c
            order by c.id
        ) as editable
        """,
        {"people": people, "now": now},
    )
    _plan(tx, people, now)
    return people[-1]


def _plan(tx: Tx, people: list[UUID], now: datetime) -> None:
    tx.run(
        "select challenges.plan(%(people)s, %(now)s, %(tzdata)s), challenges.remind(%(people)s, %(now)s)",
        {"people": people, "now": now, "tzdata": tzdata_version()},
    )


def move(tx: Tx, participant_id: UUID, zone: str, now: datetime) -> None:
    """Change a participant's zone: what has opened stays, later dates move, and none is won or lost (rule 6)."""
    tx.run(
        "select challenges.move(%(participant_id)s, %(zone)s, %(now)s, %(tzdata)s)",
        {"participant_id": participant_id, "zone": zone, "now": now, "tzdata": tzdata_version()},
    )


@dataclass(frozen=True, slots=True)
class Moves:
    """What a change of the account's zone makes of one of the actor's places; `windows` as in the HTTP contract."""

    participant_id: UUID
    challenge_id: UUID
    title: str
    windows: list[dict[str, Any]]


def preview(tx: Tx, zone: str, now: datetime, *, before: UUID | None, offset: int, limit: int) -> list[Moves]:
    """What `challenges.person_moved` would do to the actor's windows that open within `FORESEEN`, if it came now.

    The place taken last comes first. Raises InvalidParameterValue for a zone that Postgres does not know, as a write
    of it would, also where there is nothing to move.
    """
    return tx.all(
        """
        select f.participant_id, f.challenge_id, f.title, moves.windows
        from (
            select * from challenges.following(core.actor(), %(now)s)
            where local and status <> 'draft' and (%(before)s::uuid is null or participant_id < %(before)s)
            order by participant_id desc offset %(offset)s limit %(limit)s
        ) as f
        cross join lateral (
            select coalesce(jsonb_agg(jsonb_build_object(
                'local_date', m.local_date,
                'from', jsonb_build_object(
                    'opens_at', m.had_opened_at, 'closes_at', m.had_closed_at,
                    'timezone', coalesce(w.timezone, u.timezone)
                ),
                'to', jsonb_build_object('opens_at', m.opens_at, 'closes_at', m.closes_at, 'timezone', m.timezone)
            ) order by m.local_date), '[]') as windows
            from identity.users u
            cross join challenges.moved(f.participant_id, %(zone)s, %(now)s) as m
            left join challenges.windows w on w.participant_id = f.participant_id and w.local_date = m.local_date
            where u.id = core.actor() and u.timezone <> %(zone)s and not m.stays
              and m.had_opened_at < %(now)s + %(foreseen)s
              and (m.opens_at, m.closes_at) <> (m.had_opened_at, m.had_closed_at)
        ) as moves
        where %(now)s at time zone %(zone)s is not null
        order by f.participant_id desc
        """,
        {"zone": zone, "now": now, "before": before, "offset": offset, "limit": limit, "foreseen": FORESEEN},
        row=Moves,
    )


def replan(tx: Tx, challenge_id: UUID, now: datetime) -> None:
    """After an edit, before the challenge starts: everybody's dates anew, from the zone they are in now."""
    tx.run(
        "select challenges.replan(%(challenge_id)s, %(now)s, %(tzdata)s)",
        {"challenge_id": challenge_id, "now": now, "tzdata": tzdata_version()},
    )


def _asked(now: datetime, **more: object) -> dict[str, object]:
    return {
        "now": now,
        "first": None,
        "last": None,
        "back": DAYS_BACK,
        "ahead": DAYS_AHEAD,
        "from_start": False,
        "tzdata": tzdata_version(),
    } | more


@dataclass(frozen=True, slots=True)
class Decision:
    """What one participant's window of one local date comes to."""

    participant_id: UUID
    local_date: date
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Decided(Decision):
    """A window that a decision turned; `former` is what it was."""

    former: Outcome | None


def decide(tx: Tx, decisions: Sequence[Decision]) -> list[Decided]:
    """Write the outcomes of windows, each once; answers those that were something else before.

    What is decided stays, but for one thing: a late verdict turns what was missed or excused into accepted. More than
    one window at a time only of those that this transaction holds: two that wait for each other's would deadlock.
    """
    return tx.all(
        """
        update challenges.windows w set outcome = d.outcome
        from unnest(%(participants)s::uuid[], %(dates)s::date[], %(outcomes)s::text[])
            as d (participant_id, local_date, outcome)
        where w.participant_id = d.participant_id and w.local_date = d.local_date
          and (w.outcome is null or d.outcome = 'accepted' and w.outcome <> 'accepted')
        returning w.participant_id, w.local_date, w.outcome, old.outcome as former
        """,
        {
            "participants": [each.participant_id for each in decisions],
            "dates": [each.local_date for each in decisions],
            "outcomes": [each.outcome for each in decisions],
        },
        row=Decided,
    )


# An archived challenge ran until it ended, and its windows closed by then. What closed while it was paused did not run,
# although it runs again.
_RUNS = "c.status in ('active', 'archived') and w.closes_at > c.runs_since"


@dataclass(frozen=True, slots=True)
class Held:
    """A window that this transaction holds; `runs`: its challenge is active, or was until it ended."""

    closes_at: datetime
    outcome: Outcome | None
    runs: bool


def hold(tx: Tx, participant_id: UUID, local_date: date) -> Held | None:
    """Hold a window until the end of the transaction: no verdict on it and no closing comes in between."""
    return tx.maybe(
        f"""
        select w.closes_at, w.outcome, ({_RUNS}) as runs
        from challenges.windows w
        join challenges.participants p on p.id = w.participant_id
        join challenges.challenges c on c.id = p.challenge_id
        where w.participant_id = %(participant_id)s and w.local_date = %(local_date)s for no key update of w
        """,
        {"participant_id": participant_id, "local_date": local_date},
        row=Held,
    )


def put_back(tx: Tx, participant_id: UUID, local_date: date, outcome: Outcome | None) -> None:
    """Write what a window comes to now that its proof is not accepted any more; None: it is undecided again."""
    tx.run(
        """
        update challenges.windows set outcome = %(outcome)s
        where participant_id = %(participant_id)s and local_date = %(local_date)s
        """,
        {"participant_id": participant_id, "local_date": local_date, "outcome": outcome},
    )


@dataclass(frozen=True, slots=True)
class Overdue:
    """A window that closed without an outcome; `runs`: its challenge is active, or was until it ended."""

    participant_id: UUID
    local_date: date
    runs: bool


def overdue(tx: Tx, closed_before: datetime, limit: int) -> list[Overdue]:
    """Undecided windows that closed before an instant, the oldest first, held by this transaction alone."""
    return tx.all(
        f"""
        select w.participant_id, w.local_date, ({_RUNS}) as runs
        from challenges.windows w
        join challenges.participants p on p.id = w.participant_id
        join challenges.challenges c on c.id = p.challenge_id
        where w.outcome is null and w.closes_at <= %(closed_before)s
        order by w.closes_at limit %(limit)s for no key update of w skip locked
        """,
        {"closed_before": closed_before, "limit": limit},
        row=Overdue,
    )
