"""SQL of challenges themselves: one of them, or a list. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from challenges.rules import ListedState, RosterVisibility, Status, Visibility
from chally.db import Tx


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge as the reader may see it; `participant_id` is the reader's own, where they take part."""

    id: UUID
    title: str
    description: str
    owner_id: UUID
    owner_username: str
    status: Status
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
class Terms:
    """What an owner may edit."""

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
_HYDRATED = _COLUMNS.format(count="c.participant_count")
_OWNER = "join identity.profiles o on o.id = c.owner_id"
_OWN_PLACE = """
    left join challenges.participants p
        on p.challenge_id = c.id and p.user_id = core.actor() and p.left_at is null
"""


def challenge(tx: Tx, challenge_id: UUID) -> Challenge | None:
    return tx.maybe(
        f"""
        select {_HYDRATED} from challenges.challenges c {_OWNER} {_OWN_PLACE}
        where c.id = %(id)s and c.status <> 'deleted'
        """,
        {"id": challenge_id},
        row=Challenge,
    )


def counted(tx: Tx, challenge_id: UUID) -> Challenge | None:
    """The challenge, once whoever came in this transaction is counted. Its row is held from here to the commit, so let
    this be the last statement. Raises, by constraint, what keeps them out.
    """
    return tx.maybe(
        f"""
        select {_COLUMNS.format(count="challenges.counted(c.id)")} from challenges.challenges c {_OWNER} {_OWN_PLACE}
        where c.id = %(id)s
        """,
        {"id": challenge_id},
        row=Challenge,
    )


def discover(
    tx: Tx, words: str | None, state: ListedState | None, now: datetime, *, before: UUID | None, offset: int, limit: int
) -> list[Challenge]:
    """Public ones, newest first: ids are made in time order. `words`: each must begin a word of theirs."""
    return tx.all(
        f"""
        select {_HYDRATED}
        from challenges.discover(%(words)s, %(state)s, %(now)s, %(before)s, %(offset)s, %(limit)s) as found (id)
        join challenges.challenges c on c.id = found.id {_OWNER} {_OWN_PLACE}
        order by c.id desc
        """,
        {"words": words, "state": state, "now": now, "before": before, "offset": offset, "limit": limit},
        row=Challenge,
    )


def mine(tx: Tx, *, before: UUID | None, offset: int, limit: int) -> list[Challenge]:
    """Those the reader owns, drafts too, newest first."""
    return tx.all(
        f"""
        select {_HYDRATED} from challenges.challenges c {_OWNER} {_OWN_PLACE}
        where c.owner_id = core.actor() and c.status <> 'deleted' and (%(before)s::uuid is null or c.id < %(before)s)
        order by c.id desc offset %(offset)s limit %(limit)s
        """,
        {"before": before, "offset": offset, "limit": limit},
        row=Challenge,
    )


def joined(tx: Tx, *, before: UUID | None, offset: int, limit: int) -> list[Challenge]:
    """Those the reader takes part in, the one joined last first. `before` is a participant's id."""
    return tx.all(
        f"""
        select {_HYDRATED}
        from challenges.participants p join challenges.challenges c on c.id = p.challenge_id {_OWNER}
        where p.user_id = core.actor() and p.left_at is null and c.status <> 'deleted'
          and (%(before)s::uuid is null or p.id < %(before)s)
        order by p.id desc offset %(offset)s limit %(limit)s
        """,
        {"before": before, "offset": offset, "limit": limit},
        row=Challenge,
    )


def lock(tx: Tx, challenge_id: UUID) -> bool:
    """Hold the challenge's row until the end of the transaction; False where the reader may not change it.

    `no key`: rows that refer to it may be made meanwhile. A join makes one first, and counts last.
    """
    sql = "select true from challenges.challenges where id = %(id)s and owner_id = core.actor() for no key update"
    return bool(tx.value(sql, {"id": challenge_id}))


def hold_schedule(tx: Tx, challenge_id: UUID) -> None:
    """Before `lock`: wait for the joins under way, and have the next ones wait. They make windows of the schedule."""
    tx.run(
        """
        select pg_advisory_xact_lock(hashtextextended('schedule of ' || id, 0))
        from challenges.challenges where id = %(id)s and owner_id = core.actor()
        """,
        {"id": challenge_id},
    )


def add(tx: Tx, terms: Terms, *, status: str, invite_code: str, now: datetime) -> UUID:
    challenge_id: UUID = tx.value(
        """
        insert into challenges.challenges (
            owner_id, title, description, status, visibility, invite_code, timezone, starts_at, ends_at,
            max_participants, late_join, roster_visibility, rules, created_at
        )
        values (
            core.actor(), %(title)s, %(description)s, %(status)s, %(visibility)s, %(invite_code)s, %(timezone)s,
            %(starts_at)s, %(ends_at)s, %(max_participants)s, %(late_join)s, %(roster_visibility)s, %(rules)s, %(now)s
        )
        returning id
        """,
        _parameters(terms) | {"status": status, "invite_code": invite_code, "now": now},
    )
    return challenge_id


def edit(tx: Tx, challenge_id: UUID, terms: Terms) -> None:
    tx.run(
        """
        update challenges.challenges set
            title = %(title)s, description = %(description)s, visibility = %(visibility)s,
            roster_visibility = %(roster_visibility)s, late_join = %(late_join)s,
            max_participants = %(max_participants)s, timezone = %(timezone)s, starts_at = %(starts_at)s,
            ends_at = %(ends_at)s, rules = %(rules)s
        where id = %(id)s
        """,
        _parameters(terms) | {"id": challenge_id},
    )


def _parameters(terms: Terms) -> dict[str, object]:
    return {
        "title": terms.title,
        "description": terms.description,
        "visibility": terms.visibility,
        "roster_visibility": terms.roster_visibility,
        "late_join": terms.late_join,
        "max_participants": terms.max_participants,
        "timezone": terms.timezone,
        "starts_at": terms.starts_at,
        "ends_at": terms.ends_at,
        "rules": Jsonb(terms.rules),
    }


def set_status(tx: Tx, challenge_id: UUID, status: Status, now: datetime) -> None:
    tx.run(
        """
        update challenges.challenges set status = %(status)s,
            runs_since = case when %(status)s = 'active' then %(now)s else runs_since end
        where id = %(id)s
        """,
        {"id": challenge_id, "status": status, "now": now},
    )


def set_invite_code(tx: Tx, challenge_id: UUID, invite_code: str) -> None:
    tx.run(
        """
        update challenges.challenges set invite_code = %(code)s, invite_code_number = invite_code_number + 1
        where id = %(id)s
        """,
        {"id": challenge_id, "code": invite_code},
    )


@dataclass(frozen=True, slots=True)
class Count:
    """What a challenge says of its participants, and how many there are."""

    challenge_id: UUID
    said: int
    present: int


def counts(tx: Tx, *, after: UUID, limit: int) -> list[Count]:
    """The counts of the next `limit` challenges with ids after `after`, as at one instant."""
    return tx.all(
        """
        select c.id as challenge_id, c.participant_count as said,
               (select count(*) from challenges.participants p where p.challenge_id = c.id and p.left_at is null)
               as present
        from challenges.challenges c where c.id > %(after)s order by c.id limit %(limit)s
        """,
        {"after": after, "limit": limit},
        row=Count,
    )
