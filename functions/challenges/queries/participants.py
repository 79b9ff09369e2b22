"""SQL of taking part: coming, going, the roster. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chally.db import Tx
from chally.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class Entered:
    """A place of the caller's. `came`: they were not in before; `timezone` is the one that their windows go by."""

    challenge_id: UUID
    participant_id: UUID
    timezone: str
    came: bool


@dataclass(frozen=True, slots=True)
class Participant:
    participant_id: UUID
    user_id: UUID
    username: str
    joined_at: datetime


def own_timezone(tx: Tx) -> str:
    """The caller's zone. Raises `Unauthenticated` when the account is gone and only its token still lives."""
    zone: str | None = tx.value("select timezone from identity.users where id = core.actor()", {})
    if zone is None:
        raise Unauthenticated
    return zone


def join(tx: Tx, challenge_id: UUID | None, code: str | None, zone: str | None, now: datetime) -> Entered | None:
    """Give the caller a place, by id or by code; None where there is nothing that they may see.

    It is counted at the commit, or by `challenges.counted`. Raises, by constraint, what keeps them out.
    """
    return tx.maybe(
        """
        select challenge_id, participant_id, timezone, came
        from challenges.join(%(challenge_id)s, %(code)s, %(zone)s, %(now)s)
        """,
        {"challenge_id": challenge_id, "code": code, "zone": zone, "now": now},
        row=Entered,
    )


def leave(tx: Tx, challenge_id: UUID, now: datetime) -> bool:
    """Take the caller out, who may be out already; False where they never were in."""
    return bool(tx.value("select challenges.leave(%(id)s, %(now)s)", {"id": challenge_id, "now": now}))


def remove(tx: Tx, challenge_id: UUID, participant_id: UUID, now: datetime) -> UUID | None:
    """Take somebody out of the caller's own challenge; whom. None where there is no such participant of theirs."""
    removed: UUID | None = tx.value(
        "select challenges.remove(%(challenge_id)s, %(participant_id)s, %(now)s)",
        {"challenge_id": challenge_id, "participant_id": participant_id, "now": now},
    )
    return removed


def shows_roster(tx: Tx, challenge_id: UUID) -> bool:
    return bool(tx.value("select challenges.shows_roster(%(id)s)", {"id": challenge_id}))


def roster(tx: Tx, challenge_id: UUID, *, after: UUID | None, offset: int, limit: int) -> list[Participant]:
    """In the order of joining: participant ids are made in time order."""
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
