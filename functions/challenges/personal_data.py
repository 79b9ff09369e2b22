"""Personal data of challenges: see `chally.personal_data`."""

from uuid import UUID

from chally.db import Tx
from chally.personal_data import TableRows, select_tables

_EXPORT = {
    "challenges": """
        select id, title, description, status, visibility, invite_code, timezone, starts_at, ends_at, max_participants,
            participant_count, late_join, roster_visibility, rules, created_at
        from challenges.challenges where owner_id = %(user_id)s order by id
    """,
    "participants": """
        select p.id, p.challenge_id, c.title, p.timezone, p.joined_at, p.timezone_since, p.left_at, p.returned_at,
            p.barred_code is not null as removed
        from challenges.participants p join challenges.challenges c on c.id = p.challenge_id
        where p.user_id = %(user_id)s order by p.id
    """,
    "windows": """
        select w.participant_id, w.local_date, w.opens_at, w.closes_at, w.timezone, w.tzdata, w.outcome
        from challenges.windows w join challenges.participants p on p.id = w.participant_id
        where p.user_id = %(user_id)s order by w.opens_at
    """,
    "standings": """
        select s.participant_id, s.challenge_id, s.points, s.current_streak, s.best_streak, s.accepted, s.missed
        from challenges.standings s join challenges.participants p on p.id = s.participant_id
        where p.user_id = %(user_id)s order by s.participant_id
    """,
}


def export(tx: Tx, user_id: UUID) -> TableRows:
    """Return the challenges, the participations, their windows and standings."""
    return select_tables(tx, _EXPORT, {"user_id": user_id})


def forget(tx: Tx, user_id: UUID) -> None:
    """Erase nothing: challenges belong to their participants as well, and standings consist of who took part, when and
    with which outcome. Identity erases who that was.
    """
