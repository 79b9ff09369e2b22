"""A challenge of some days with people in it, inserted by SQL because nobody can join in the past over HTTP."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

import psycopg

from challenges.language import Scoring
from challenges.queries.standings import Standing
from challenges.rules import Outcome
from challenges.score import Score, add_outcomes
from tests.support.database import Database

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Season:
    """A challenge owned by the first of `users`. `participants` are in the order of `users`."""

    database: Database
    challenge: UUID
    users: Sequence[UUID]
    participants: Sequence[UUID]
    days: Sequence[date]

    def outcomes(self, participant: UUID) -> dict[date, Outcome]:
        rows = self.database.execute(
            "select local_date, outcome from challenges.windows where participant_id = %(id)s and outcome is not null"
            " order by local_date",
            id=participant,
        )
        return dict(rows)

    def standing(self, participant: UUID) -> Standing:
        """The stored standing."""
        *score, last_decided = self.database.execute(
            "select points, current_streak, best_streak, accepted, missed, grace_spent, last_decided"
            " from challenges.standings where participant_id = %(id)s",
            id=participant,
        )[0]
        return Standing(participant, Score(*score), last_decided)

    def counted(self, participant: UUID, scoring: Scoring) -> Score:
        """The score recomputed from the outcomes."""
        return add_outcomes(Score(), self.outcomes(participant).values(), scoring)

    def run(self, statement: str, **parameters: object) -> None:
        self.database.execute(statement, challenge=self.challenge, **parameters)


def season(
    database: Database,
    users: Sequence[UUID],
    *,
    first: datetime,
    days: int,
    scoring: Scoring | None = None,
    roster_visibility: str = "participants",
) -> Season:
    """Store everybody's windows: whole days in UTC. The first opens at `first`, a midnight."""
    challenge, places = uuid4(), sorted(uuid4() for _ in users)
    values = {
        "challenge": challenge,
        "users": list(users),
        "places": places,
        "first": first,
        "last": first + days * DAY,
        "days": days,
        "rules": json.dumps({"scoring": (scoring or Scoring()).model_dump()}),
        "shown": roster_visibility,
    }
    with psycopg.connect(database.url) as connection:
        connection.execute(
            """
            insert into challenges.challenges (id, owner_id, title, status, visibility, invite_code, timezone,
                starts_at, ends_at, late_join, roster_visibility, max_participants, rules)
            values (%(challenge)s, (%(users)s::uuid[])[1], 't', 'active', 'code', %(challenge)s::text, 'UTC',
                %(first)s, %(last)s, true, %(shown)s, 10000, %(rules)s)
            """,
            values,
        )
        connection.execute(
            """
            insert into challenges.participants (id, challenge_id, user_id, timezone, joined_at, timezone_since)
            select id, %(challenge)s, user_id, 'UTC', %(first)s, %(first)s
            from unnest(%(places)s::uuid[], %(users)s::uuid[]) as n (id, user_id)
            """,
            values,
        )
        connection.execute(
            """
            insert into challenges.windows (participant_id, local_date, opens_at, closes_at, timezone, tzdata)
            select id, (%(first)s at time zone 'UTC')::date + n, %(first)s + n * interval '1 day',
                   %(first)s + (n + 1) * interval '1 day', 'UTC', '2026b'
            from unnest(%(places)s::uuid[]) as id, generate_series(0, %(days)s - 1) as n
            """,
            values,
        )
    return Season(database, challenge, users, places, [first.date() + n * DAY for n in range(days)])
