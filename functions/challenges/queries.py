"""All SQL of challenges but for windows, which have a file of their own. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from challenges.rules import Full, NotActive, Outcome, Score, Status
from chally.db import Tx
from chally.errors import AppError, Unauthenticated

CONSTRAINTS: dict[str, type[AppError]] = {
    "challenges_full": Full,
    "challenges_not_active": NotActive,
    # the account is gone, and only its token still lives
    "challenges_owner_fkey": Unauthenticated,
    "participants_user_fkey": Unauthenticated,
}


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge as the reader may see it; `participant_id` is the reader's own, where they take part."""

    id: UUID
    title: str
    description: str
    owner_id: UUID
    owner_username: str
    status: Status
    visibility: str
    invite_code: str
    timezone: str
    starts_at: datetime
    ends_at: datetime
    max_participants: int
    participant_count: int
    late_join: bool
    roster_visibility: str
    rules: dict[str, Any]
    created_at: datetime
    participant_id: UUID | None


@dataclass(frozen=True, slots=True)
class Participant:
    participant_id: UUID
    user_id: UUID
    username: str
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    rank: int
    participant_id: UUID
    username: str
    points: int
    current_streak: int
    best_streak: int
    accepted: int
    missed: int


_CHALLENGE = """
    select c.id, c.title, c.description, c.owner_id, o.username as owner_username, c.status, c.visibility,
           c.invite_code, c.timezone, c.starts_at, c.ends_at, c.max_participants, c.participant_count, c.late_join,
           c.roster_visibility, c.rules, c.created_at, p.id as participant_id
    from challenges.challenges c
    join identity.profiles o on o.id = c.owner_id
    left join challenges.participants p on p.challenge_id = c.id and p.user_id = core.actor()
    where c.status <> 'deleted'
"""


def challenge(tx: Tx, challenge_id: UUID) -> Challenge | None:
    return tx.maybe(f"{_CHALLENGE} and c.id = %(id)s", {"id": challenge_id}, row=Challenge)


def public_challenge(tx: Tx, challenge_id: UUID) -> Challenge | None:
    return tx.maybe(f"{_CHALLENGE} and c.id = %(id)s and c.visibility = 'public'", {"id": challenge_id}, row=Challenge)


def challenge_by_code(tx: Tx, code: str) -> Challenge | None:
    return tx.maybe(f"{_CHALLENGE} and c.invite_code = %(code)s", {"code": code}, row=Challenge)


def present_code(tx: Tx, code: str) -> None:
    """Show the invite code: for the rest of this transaction its challenge is visible."""
    tx.run("select set_config('chally.invite_code', %(code)s, true)", {"code": code})


def lock_challenge(tx: Tx, challenge_id: UUID) -> bool:
    """Hold the challenge's row until the end of the transaction; False where the reader may not change it."""
    sql = "select true from challenges.challenges where id = %(id)s and owner_id = core.actor() for update"
    return bool(tx.value(sql, {"id": challenge_id}))


def own_timezone(tx: Tx) -> str:
    """The caller's zone. Raises `Unauthenticated` when the account is gone and only its token still lives."""
    zone: str | None = tx.value("select timezone from identity.users where id = core.actor()", {})
    if zone is None:
        raise Unauthenticated
    return zone


def add_challenge(
    tx: Tx,
    *,
    title: str,
    description: str,
    status: str,
    visibility: str,
    invite_code: str,
    timezone: str,
    starts_at: datetime,
    ends_at: datetime,
    max_participants: int,
    late_join: bool,
    roster_visibility: str,
    rules: dict[str, Any],
    now: datetime,
) -> UUID:
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
        {
            "title": title,
            "description": description,
            "status": status,
            "visibility": visibility,
            "invite_code": invite_code,
            "timezone": timezone,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "max_participants": max_participants,
            "late_join": late_join,
            "roster_visibility": roster_visibility,
            "rules": Jsonb(rules),
            "now": now,
        },
    )
    return challenge_id


def set_status(tx: Tx, challenge_id: UUID, status: Status) -> None:
    tx.run(
        "update challenges.challenges set status = %(status)s where id = %(id)s",
        {"id": challenge_id, "status": status},
    )


def add_participant(tx: Tx, challenge_id: UUID, timezone: str, now: datetime) -> UUID | None:
    """The new participant's id, counted and with a standing (by trigger); None when the person is in already."""
    participant_id: UUID | None = tx.value(
        """
        insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since)
        values (%(challenge_id)s, core.actor(), %(timezone)s, %(now)s, %(now)s)
        on conflict on constraint participants_one_per_user do nothing
        returning id
        """,
        {"challenge_id": challenge_id, "timezone": timezone, "now": now},
    )
    return participant_id


def set_timezone(tx: Tx, participant_id: UUID, timezone: str, now: datetime) -> bool:
    """Whether that changed anything."""
    changed = tx.run(
        """
        update challenges.participants set timezone = %(timezone)s, timezone_since = %(now)s
        where id = %(id)s and timezone <> %(timezone)s
        """,
        {"id": participant_id, "timezone": timezone, "now": now},
    )
    return changed > 0


def shows_roster(tx: Tx, challenge_id: UUID) -> bool:
    return bool(tx.value("select challenges.shows_roster(%(id)s)", {"id": challenge_id}))


def roster(tx: Tx, challenge_id: UUID, *, after: UUID | None, offset: int, limit: int) -> list[Participant]:
    """In the order of joining: participant ids are made in time order."""
    return tx.all(
        """
        select p.id as participant_id, p.user_id, u.username, p.joined_at
        from challenges.participants p join identity.profiles u on u.id = p.user_id
        where p.challenge_id = %(challenge_id)s and (%(after)s::uuid is null or p.id > %(after)s)
        order by p.id offset %(offset)s limit %(limit)s
        """,
        {"challenge_id": challenge_id, "after": after, "offset": offset, "limit": limit},
        row=Participant,
    )


def standings(tx: Tx, challenge_id: UUID, *, after: tuple[int, UUID] | None, offset: int, limit: int) -> list[Standing]:
    """Best first. Equal points rank equally, and the next rank is skipped (standard competition ranking)."""
    points, participant_id = after or (None, None)
    return tx.all(
        """
        select * from (
            select rank() over (order by s.points desc) as rank, s.participant_id, u.username, s.points,
                   s.current_streak, s.best_streak, s.accepted, s.missed
            from challenges.standings s
            join challenges.participants p on p.id = s.participant_id
            join identity.profiles u on u.id = p.user_id
            where s.challenge_id = %(challenge_id)s
        ) as ranked
        where %(points)s::integer is null
           or (-points, participant_id) > (-%(points)s::integer, %(participant_id)s::uuid)
        order by points desc, participant_id offset %(offset)s limit %(limit)s
        """,
        {
            "challenge_id": challenge_id,
            "points": points,
            "participant_id": participant_id,
            "offset": offset,
            "limit": limit,
        },
        row=Standing,
    )


def lock_standing(tx: Tx, participant_id: UUID) -> dict[str, Any]:
    """Hold the participant's standing; answers the challenge's scoring rules."""
    scoring: dict[str, Any] = tx.value(
        """
        select c.rules -> 'scoring' from challenges.standings s join challenges.challenges c on c.id = s.challenge_id
        where s.participant_id = %(id)s for update of s
        """,
        {"id": participant_id},
    )
    return scoring


@dataclass(frozen=True, slots=True)
class Decided:
    outcome: Outcome


def outcomes(tx: Tx, participant_id: UUID) -> list[Decided]:
    """The participant's decided windows, oldest first."""
    return tx.all(
        """
        select outcome from challenges.windows
        where participant_id = %(id)s and outcome is not null order by local_date
        """,
        {"id": participant_id},
        row=Decided,
    )


def set_standing(tx: Tx, participant_id: UUID, score: Score) -> None:
    tx.run(
        """
        update challenges.standings set points = %(points)s, current_streak = %(current_streak)s,
            best_streak = %(best_streak)s, accepted = %(accepted)s, missed = %(missed)s
        where participant_id = %(id)s
        """,
        {
            "id": participant_id,
            "points": score.points,
            "current_streak": score.current_streak,
            "best_streak": score.best_streak,
            "accepted": score.accepted,
            "missed": score.missed,
        },
    )
