"""SQL of participants: join, leave, remove, roster. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from challenges.rules import MAX_JOINED
from chally.db import Tx
from chally.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class JoinResult:
    """The actor's participation. `is_new`: they did not take part before; `timezone`: the zone of their windows."""

    challenge_id: UUID
    participant_id: UUID
    timezone: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Participant:
    participant_id: UUID
    user_id: UUID
    username: str
    joined_at: datetime


def own_timezone(tx: Tx) -> str:
    """Return the actor's zone. Raises `Unauthenticated` if the account no longer exists."""
    zone: str | None = tx.value("select timezone from identity.users where id = core.actor()", {})
    if zone is None:
        raise Unauthenticated
    return zone


def join(tx: Tx, challenge_id: UUID | None, code: str | None, zone: str | None, now: datetime) -> JoinResult | None:
    """Make the actor a participant, by id or by code. Return None if there is no challenge that they may see.

    `participant_count` includes them from the commit on, or from `challenges.find_after_join`. If the challenge does
    not accept them, a constraint error is raised.
    """
    return tx.maybe(
        """
        select challenge_id, participant_id, timezone, is_new
        from challenges.join(%(challenge_id)s, %(code)s, %(zone)s, %(now)s, %(max_joined)s)
        """,
        {"challenge_id": challenge_id, "code": code, "zone": zone, "now": now, "max_joined": MAX_JOINED},
        row=JoinResult,
    )


def leave(tx: Tx, challenge_id: UUID, now: datetime) -> bool:
    """End the actor's participation. Return False if they never took part; leaving twice returns True."""
    return bool(tx.value("select challenges.leave(%(id)s, %(now)s)", {"id": challenge_id, "now": now}))


def remove(tx: Tx, challenge_id: UUID, participant_id: UUID, now: datetime) -> UUID | None:
    """Remove a participant from the actor's own challenge. Return the user's id, None if there was none."""
    removed: UUID | None = tx.value(
        "select challenges.remove(%(challenge_id)s, %(participant_id)s, %(now)s)",
        {"challenge_id": challenge_id, "participant_id": participant_id, "now": now},
    )
    return removed


def shows_roster(tx: Tx, challenge_id: UUID) -> bool:
    return bool(tx.value("select challenges.shows_roster(%(id)s)", {"id": challenge_id}))


def roster(tx: Tx, challenge_id: UUID, *, after: UUID | None, offset: int, limit: int) -> list[Participant]:
    """Return participants in the order of joining (ids are in time order)."""
    return tx.all(
        """
        select p.id as participant_id, p.user_id, u.username, p.joined_at
        from challenges.participants p join identity.profiles u on u.id = p.user_id
        where p.challenge_id = %(challenge_id)s and p.left_at is null
          and (%(after)s::uuid is null or p.id > %(after)s)
        order by p.id offset %(offset)s limit %(limit)s
        """,
        {"challenge_id": challenge_id, "after": after, "offset": offset, "limit": limit},
        row=Participant,
    )
