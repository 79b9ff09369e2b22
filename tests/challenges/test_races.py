"""Concurrent joins, leaves and edits: real threads and connections, as the role chally_app."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from challenges import membership
from challenges.queries import challenges
from chally import clock
from chally.db import Tx
from tests.support.api import Client
from tests.support.challenges import RULES, ChallengeJson
from tests.support.concurrency import all_at_once, check_counts, joining, leaving
from tests.support.database import Database
from tests.support.people import insert_users


def test_500_people_joining_at_once_fill_exactly_100_places(
    make: Callable[..., ChallengeJson], database: Database
) -> None:
    made = make(max_participants=101)  # one of them is the owner's
    people = insert_users(database, 500)
    outcomes = all_at_once(database, people, joining(made))
    assert Counter(outcomes) == {"joined": 100, "full": 400}
    assert database.execute(
        "select participant_count, (select count(*) from challenges.participants),"
        " (select count(*) from challenges.standings), (select count(distinct participant_id) from challenges.windows)"
        " from challenges.challenges"
    ) == [(101, 101, 101, 101)]
    check_counts(database)


def test_one_person_joining_from_many_devices_joins_once(
    make: Callable[..., ChallengeJson], database: Database
) -> None:
    made = make()
    (person,) = insert_users(database, 1)
    outcomes = all_at_once(database, [person] * 20, joining(made))
    assert Counter(outcomes) == {"joined": 1, "had joined": 19}
    check_counts(database)


def test_joining_and_leaving_at_once_keeps_the_count_right(
    make: Callable[..., ChallengeJson], database: Database
) -> None:
    """Twenty people repeatedly join and leave a challenge with ten places."""
    made = make(max_participants=11)
    people = insert_users(database, 20)
    chance = random.Random(4)
    steps = [chance.choice(people) for _ in range(3000)]

    def act(tx: Tx) -> str:
        return (joining if random.random() < 0.6 else leaving)(made)(tx)

    outcomes = Counter(all_at_once(database, steps, act, threads=20))
    # the last two: leaving without having joined, and leaving twice while joining
    assert set(outcomes) <= {"joined", "had joined", "left", "full", "not_found", "not_participant"}
    assert outcomes["joined"] > 20
    assert outcomes["full"] > 0
    assert database.execute("select max(participant_count) <= 11 from challenges.challenges") == [(True,)]
    check_counts(database)


def test_edits_and_removals_do_not_deadlock_with_joins(
    make: Callable[..., ChallengeJson], owner: Client, database: Database
) -> None:
    """People join, leave and rejoin while the owner edits, pauses, removes and changes the code over HTTP."""
    now = clock.now()
    made = make(starts_at=(now + timedelta(hours=20)).isoformat(), visibility="public", max_participants=60)
    path = f"/v1/challenges/{made['id']}"
    people = insert_users(database, 40)
    busy = threading.Event()
    outcomes: list[str] = []

    def storm() -> None:
        chance = random.Random(5)

        def act(tx: Tx) -> str:
            if random.random() < 0.4:
                return leaving(made)(tx)
            zone = random.choice([None, "Asia/Tokyo", "America/Lima"])
            membership.join(tx, made["id"], zone, clock.now())
            return "joined"

        outcomes.extend(all_at_once(database, [chance.choice(people) for _ in range(600)], act, threads=12))
        busy.set()

    thread = threading.Thread(target=storm)
    thread.start()
    turns = 0
    schedules = [
        made["rules"] | {"schedule": made["rules"]["schedule"] | {"opens": f"{hour:02}:00"}} for hour in (5, 7)
    ]
    while not busy.is_set():
        turns += 1
        assert owner.patch(path, {"title": f"{turns}", "rules": schedules[turns % 2]}).status == 200
        assert owner.post(f"{path}/invite-code").status == 200
        if turns % 3 == 0:
            for to in ("paused", "active"):
                assert owner.post(f"{path}/transitions", {"to": to}).status == 200
    thread.join()
    assert turns > 2
    assert set(outcomes) <= {"joined", "left", "not_active", "full", "not_participant"}
    assert database.execute("select deadlocks from pg_stat_database where datname = current_database()") == [(0,)]
    check_counts(database)
    # all windows have the last rules; after a change of zone one may open later, when the previous one closes
    last = owner.get(path).json["rules"]["schedule"]["opens"]
    opens = database.execute(
        "select distinct to_char(w.opens_at at time zone w.timezone, 'HH24:MI')"
        " from challenges.windows w join challenges.participants p on p.id = w.participant_id"
        " join challenges.challenges c on c.id = p.challenge_id"
        " where w.opens_at <> c.starts_at and p.timezone_since = p.joined_at"
    )
    assert opens == [(last,)]


class TestQuotas:
    def test_many_joins_at_once_cannot_exceed_the_quota(
        self, make: Callable[..., ChallengeJson], database: Database
    ) -> None:
        made = [make() for _ in range(8)]
        (person,) = insert_users(database, 1)
        places(database, person, 197)
        left = iter(made)
        turn = threading.Lock()

        def act(tx: Tx) -> str:
            with turn:
                mine = next(left)
            return joining(mine)(tx)

        outcomes = Counter(all_at_once(database, [person] * 8, act))
        assert outcomes == {"joined": 3, "quota_joined": 5}
        check_counts(database)

    def test_many_creations_at_once_cannot_exceed_the_quota(self, database: Database, owner: Client) -> None:
        (person,) = insert_users(database, 1)
        places(database, person, 48)
        now = clock.now()

        def act(tx: Tx) -> str:
            fields = challenges.ChallengeFields(
                "t", "", "code", "participants", False, 100, "UTC", now, now + timedelta(days=9), RULES
            )
            code = tx.value("select upper(left(md5(random()::text), 8))", {})
            membership.join_own(
                tx, challenges.insert(tx, fields, status="draft", invite_code=code, now=now), now, is_active=False
            )
            return "made"

        outcomes = Counter(all_at_once(database, [person] * 6, act))
        assert outcomes == {"made": 2, "quota_owned": 4}
        check_counts(database)


def places(database: Database, person: UUID, number: int) -> None:
    """Insert challenges that a person owns and takes part in."""
    database.execute(
        "with made as (insert into challenges.challenges (owner_id, title, status, invite_code, timezone, starts_at,"
        " ends_at, rules) select %(person)s, 't', 'active', gen_random_uuid(), 'UTC', now() - interval '9 days',"
        " now() + interval '9 days', '{}' from generate_series(1, %(number)s) returning id)"
        " insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since)"
        " select id, %(person)s, 'UTC', now(), now() from made",
        person=person,
        number=number,
    )
