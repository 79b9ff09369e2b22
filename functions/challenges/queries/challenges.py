"""SQL of challenges: find one, list them, change one. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from challenges import words
from challenges.rules import ChallengeStatus, ListedState, RosterVisibility, Visibility
from chally.db import Tx


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge as the actor may see it. `participant_id` is the actor's own, if they take part."""

    id: UUID
    title: str
    description: str
    owner_id: UUID
    owner_username: str
    status: ChallengeStatus
    visibility: Visibility
    invite_code: str
    timezone: str
    starts_at: datetime
    ends_at: datetime
    max_participants: int
    participant_count: int
    late_join: bool
    roster_visibility: RosterVisibility
    rules: dict[str, Any]
    created_at: datetime
    participant_id: UUID | None


@dataclass(frozen=True, slots=True)
class ChallengeFields:
    """The fields that an owner can edit."""

    title: str
    description: str
    visibility: Visibility
    roster_visibility: RosterVisibility
    late_join: bool
    max_participants: int
    timezone: str
    starts_at: datetime
    ends_at: datetime
    rules: dict[str, Any]


_COLUMNS = """
    c.id, c.title, c.description, c.owner_id, o.username as owner_username, c.status, c.visibility, c.invite_code,
    c.timezone, c.starts_at, c.ends_at, c.max_participants, {count} as participant_count, c.late_join,
    c.roster_visibility, c.rules, c.created_at, p.id as participant_id
"""
_STORED = _COLUMNS.format(count="c.participant_count")
_OWNER = "join identity.profiles o on o.id = c.owner_id"
_OWN_PARTICIPANT = """
    left join challenges.participants p
        on p.challenge_id = c.id and p.user_id = core.actor() and p.left_at is null
"""


def find(tx: Tx, challenge_id: UUID) -> Challenge | None:
    return tx.maybe(
        f"""
        select {_STORED} from challenges.challenges c {_OWNER} {_OWN_PARTICIPANT}
        where c.id = %(id)s and c.status <> 'deleted'
        """,
        {"id": challenge_id},
        row=Challenge,
    )


def find_after_join(tx: Tx, challenge_id: UUID) -> Challenge | None:
    """Return the challenge with a count that includes participants who joined in this transaction.

    This locks the challenge's row until the commit, so make it the last statement. If the challenge does not accept
    the participant, a constraint error is raised here.
    """
    return tx.maybe(
        f"""
        select {_COLUMNS.format(count="challenges.count_participants_now(c.id)")}
        from challenges.challenges c {_OWNER} {_OWN_PARTICIPANT}
        where c.id = %(id)s
        """,
        {"id": challenge_id},
        row=Challenge,
    )


def discover(
    tx: Tx, query: str | None, state: ListedState | None, now: datetime, *, before: UUID | None, offset: int, limit: int
) -> list[Challenge]:
    """Return public challenges, newest first (ids are in time order). `query`: see `words.query`; None finds all."""
    return tx.all(
        f"""
        select {_STORED}
        from challenges.find_public(
            %(query)s::tsquery, %(state)s, %(now)s, %(before)s, %(offset)s, %(limit)s
        ) as found (id)
        join challenges.challenges c on c.id = found.id {_OWNER} {_OWN_PARTICIPANT}
        order by c.id desc
        """,
        {"query": query, "state": state, "now": now, "before": before, "offset": offset, "limit": limit},
        row=Challenge,
    )


def list_owned(tx: Tx, *, before: UUID | None, offset: int, limit: int) -> list[Challenge]:
    """Return the challenges that the actor owns, including drafts, newest first."""
    return tx.all(
        f"""
        select {_STORED} from challenges.challenges c {_OWNER} {_OWN_PARTICIPANT}
        where c.owner_id = core.actor() and c.status <> 'deleted' and (%(before)s::uuid is null or c.id < %(before)s)
        order by c.id desc offset %(offset)s limit %(limit)s
        """,
        {"before": before, "offset": offset, "limit": limit},
        row=Challenge,
    )


def list_joined(tx: Tx, *, before: UUID | None, offset: int, limit: int) -> list[Challenge]:
    """Return the challenges that the actor takes part in, the one joined last first. `before`: a participant's id."""
    return tx.all(
        f"""
        select {_STORED}
        from challenges.participants p join challenges.challenges c on c.id = p.challenge_id {_OWNER}
        where p.user_id = core.actor() and p.left_at is null and c.status <> 'deleted'
          and (%(before)s::uuid is null or p.id < %(before)s)
        order by p.id desc offset %(offset)s limit %(limit)s
        """,
        {"before": before, "offset": offset, "limit": limit},
        row=Challenge,
    )


def lock(tx: Tx, challenge_id: UUID) -> bool:
    """Lock the challenge's row until the end of the transaction. Return False if the actor does not own it.

    `no key`: rows that refer to it can still be inserted. A join inserts its row first, and updates the count last.
    """
    sql = "select true from challenges.challenges where id = %(id)s and owner_id = core.actor() for no key update"
    return bool(tx.value(sql, {"id": challenge_id}))


def lock_schedule(tx: Tx, challenge_id: UUID) -> None:
    """Wait for joins in progress and block new ones: they compute windows from the schedule. Call it before `lock`."""
    tx.run(
        """
        select pg_advisory_xact_lock(hashtextextended('schedule of ' || id, 0))
        from challenges.challenges where id = %(id)s and owner_id = core.actor()
        """,
        {"id": challenge_id},
    )


def insert(tx: Tx, fields: ChallengeFields, *, status: str, invite_code: str, now: datetime) -> UUID:
    """Insert a challenge of the actor's and return its id. Raises `TooManyOwned` by constraint."""
    challenge_id: UUID = tx.value(
        """
        insert into challenges.challenges (
            owner_id, title, description, status, visibility, invite_code, timezone, starts_at, ends_at,
            max_participants, late_join, roster_visibility, rules, created_at, search
        )
        values (
            core.actor(), %(title)s, %(description)s, %(status)s, %(visibility)s, %(invite_code)s, %(timezone)s,
            %(starts_at)s, %(ends_at)s, %(max_participants)s, %(late_join)s, %(roster_visibility)s, %(rules)s, %(now)s,
            %(search)s
        )
        returning id
        """,
        _parameters(fields) | {"status": status, "invite_code": invite_code, "now": now},
    )
    return challenge_id


def update(tx: Tx, challenge_id: UUID, fields: ChallengeFields) -> None:
    """Write the fields that may change at any time; `reschedule` writes the others."""
    tx.run(
        """
        update challenges.challenges set
            title = %(title)s, description = %(description)s, visibility = %(visibility)s,
            roster_visibility = %(roster_visibility)s, late_join = %(late_join)s,
            max_participants = %(max_participants)s, search = %(search)s
        where id = %(id)s
        """,
        _parameters(fields) | {"id": challenge_id},
    )


def reschedule(tx: Tx, challenge_id: UUID, fields: ChallengeFields, now: datetime) -> None:
    """Change the rules and the schedule of the actor's own challenge, and compute its windows again.

    Raises `ScheduleFrozen` by constraint if the challenge has started.
    """
    tx.run(
        """
        select challenges.reschedule(%(id)s, %(timezone)s, %(starts_at)s, %(ends_at)s, %(rules)s, %(now)s)
        """,
        _parameters(fields) | {"id": challenge_id, "now": now},
    )


def _parameters(fields: ChallengeFields) -> dict[str, object]:
    return {
        "title": fields.title,
        "description": fields.description,
        "visibility": fields.visibility,
        "roster_visibility": fields.roster_visibility,
        "late_join": fields.late_join,
        "max_participants": fields.max_participants,
        "timezone": fields.timezone,
        "starts_at": fields.starts_at,
        "ends_at": fields.ends_at,
        "rules": Jsonb(fields.rules),
        "search": words.document(fields.title, fields.description),
    }


def set_status(tx: Tx, challenge_id: UUID, status: ChallengeStatus, now: datetime) -> None:
    tx.run(
        "select challenges.set_status(%(id)s, %(status)s, %(now)s)", {"id": challenge_id, "status": status, "now": now}
    )


def set_invite_code(tx: Tx, challenge_id: UUID, invite_code: str) -> None:
    tx.run("select challenges.set_invite_code(%(id)s, %(code)s)", {"id": challenge_id, "code": invite_code})


@dataclass(frozen=True, slots=True)
class ParticipantCount:
    """The stored number of a challenge's participants, and the actual one."""

    challenge_id: UUID
    stored: int
    actual: int


def participant_counts(tx: Tx, *, after: UUID, limit: int) -> list[ParticipantCount]:
    """Return the counts of the next `limit` challenges, in order of id, in one snapshot."""
    return tx.all(
        """
        select c.id as challenge_id, c.participant_count as stored,
               (select count(*) from challenges.participants p where p.challenge_id = c.id and p.left_at is null)
               as actual
        from challenges.challenges c where c.id > %(after)s order by c.id limit %(limit)s
        """,
        {"after": after, "limit": limit},
        row=ParticipantCount,
    )
