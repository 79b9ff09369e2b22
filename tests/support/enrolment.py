"""People in challenges, inserted by SQL: over HTTP nobody can join in the past, nor a thousand at once."""

import json
from collections.abc import Sequence
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import scalar_row

from tests.support.database import Database
from tests.support.window_oracle import Participant


def rules(participant: Participant) -> dict[str, object]:
    schedule = participant.schedule
    return {
        "version": 1,
        "schedule": {
            "days": list(schedule.days),
            "opens": schedule.opens,
            "closes": schedule.closes,
            "scope": schedule.scope,
        },
        "proof": {"kind": "photo", "max_per_window": 1, "max_bytes": 10485760, "types": ["image/jpeg"]},
        "anti_cheat": {"overlay": False, "exif_required": False, "phash_check": True, "strip_exif": True},
        "scoring": {"points": 10, "streak_bonus": 1, "grace_days": 0},
        "reminders": {"before_close_minutes": 60},
    }


def anna(database: Database) -> UUID:
    """Insert the user who owns the challenges."""
    with psycopg.connect(database.url, autocommit=True, row_factory=scalar_row) as connection:
        user = connection.execute(
            "insert into identity.users (email, username, password_hash, timezone)"
            " values ('anna@people.test', 'anna', '', 'UTC') returning id"
        ).fetchone()
    assert isinstance(user, UUID)
    return user


def take_part(connection: psycopg.Connection[object], user: UUID, participants: Sequence[Participant]) -> list[UUID]:
    """Insert each participant into a separate active challenge, as on the day of joining; return their ids."""
    challenges = [uuid4() for _ in participants]
    ids = [uuid4() for _ in participants]
    connection.execute(
        "insert into challenges.challenges"
        " (id, owner_id, title, status, invite_code, timezone, starts_at, ends_at, rules)"
        " select id, %(user)s, 't', 'active', id, zone, starts_at, ends_at, rules from unnest("
        "  %(ids)s::uuid[], %(zones)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[], %(rules)s::jsonb[])"
        "  as new (id, zone, starts_at, ends_at, rules)",
        {
            "user": user,
            "ids": challenges,
            "zones": [p.challenge_zone for p in participants],
            "starts": [p.starts_at for p in participants],
            "ends": [p.ends_at for p in participants],
            "rules": [json.dumps(rules(p)) for p in participants],
        },
    )
    connection.execute(
        "insert into challenges.participants (id, challenge_id, user_id, timezone, joined_at, timezone_since)"
        " select id, challenge, %(user)s, zone, joined_at, joined_at from unnest("
        "  %(ids)s::uuid[], %(challenges)s::uuid[], %(zones)s::text[], %(joined)s::timestamptz[])"
        "  as new (id, challenge, zone, joined_at)",
        {
            "user": user,
            "ids": ids,
            "challenges": challenges,
            "zones": [p.zone for p in participants],
            "joined": [p.joined_at for p in participants],
        },
    )
    return ids
