"""Changes of the account's zone: as previewed, in one transaction, safe to repeat and to run concurrently."""

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from challenges import membership, windows, zone_change
from challenges.jobs import windows_handler
from chally import clock, db
from identity.queries import users
from notifications import reminders
from tests.support import enrolment, window_oracle
from tests.support.api import Client, LambdaContext
from tests.support.challenge_views import preview_zone_change, row_versions
from tests.support.challenges import ChallengeJson, challenge_body
from tests.support.concurrency import acting, connect
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.window_strategies import (
    DAY_EAST,
    NO_ROOM,
    THERE_AND_BACK,
    Travel,
    all_of,
    differences,
    fast,
    travels,
)

At = Callable[[datetime], None]


@dataclass(frozen=True)
class Traveller:
    """A signed-in person, and a way to make them a participant of someone else's challenges."""

    connection: psycopg.Connection[Any]
    own: psycopg.Connection[Any]
    client: Client
    other: UUID

    @property
    def id(self) -> UUID:
        return UUID(self.client.user["id"])

    def take_part(self, participant: window_oracle.Participant) -> tuple[UUID, UUID]:
        """Make the person this participant, with the same account zone; return the ids of participant and challenge.

        Challenges of earlier examples are archived, so they no longer matter.
        """
        self.connection.execute("update challenges.challenges set status = 'archived'")
        self.connection.execute("update identity.users set timezone = %s where id = %s", [participant.zone, self.id])
        [place] = enrolment.take_part(self.connection, self.id, [participant])
        made = self.connection.execute(
            "update challenges.challenges c set owner_id = %s from challenges.participants p"
            " where p.id = %s and c.id = p.challenge_id returning c.id",
            [self.other, place],
        ).fetchone()
        assert made is not None
        return place, made[0]


@pytest.fixture
def traveller(database: Database, person: SignUp) -> Iterator[Traveller]:
    client = person("anna_k")
    with psycopg.connect(database.url, autocommit=True) as connection, connect(database) as own:
        yield Traveller(connection, own, client, enrolment.anna(database))


@fast
@example(travel=DAY_EAST, by_account=[True] * 6)
@example(travel=THERE_AND_BACK, by_account=[True, False, True, True, True, True])
@example(travel=NO_ROOM, by_account=[True] * 6)
@given(travel=travels(), by_account=st.lists(st.booleans(), min_size=6, max_size=6))
def test_random_travels_match_the_oracle_and_the_preview(
    traveller: Traveller, at: At, travel: Travel, by_account: list[bool]
) -> None:
    """The zone changes through the account or through a single join; no date is gained or lost."""
    participant, events = travel
    place, challenge = traveller.take_part(participant)
    account = theirs = participant.zone
    before = dates = window_oracle.windows(participant)
    for (now, zone), moves_account in zip(events, by_account, strict=False):
        at(now)
        context = f"{zone or 'the job'} at {now}, {participant}"
        expected: window_oracle.Windows | None = None
        if zone is None:
            with db.as_system("test") as tx:
                windows.precompute_batch(tx, UUID(int=place.int - 1), 1, now)
            expected = before
        elif moves_account:
            expected = before | preview_zone_change(traveller.client, zone).get(str(challenge), {})
            traveller.connection.execute(
                "delete from core.rate_limits"
            )  # between examples the clock goes backwards, too
            assert traveller.client.patch("/v1/me", {"timezone": zone}).status == 200
            if account == theirs != zone and now < participant.ends_at:
                participant, theirs = replace(participant, moves=(*participant.moves, (now, zone))), zone
            account = zone
        else:
            with acting(traveller.own, traveller.id) as tx:
                membership.join(tx, str(challenge), zone, now)
            if theirs != zone:
                participant, theirs = replace(participant, moves=(*participant.moves, (now, zone))), zone
        found = all_of(place, participant, now)
        assert not differences(found, window_oracle.windows(participant)), context
        assert expected is None or not differences(found, expected), f"{context}: not as the preview said"
        assert sorted(found) == sorted(dates), context
        spans = [found[day] for day in sorted(found)]
        assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans)), f"{context}: they overlap"
        before = found


class TestPatch:
    @pytest.fixture
    def windows_of(self) -> Callable[[Client, str], list[dict[str, Any]]]:
        def read(who: Client, path: str) -> list[dict[str, Any]]:
            first = clock.now().date() - timedelta(days=2)
            answer = who.get(f"{path}/windows", **{"from": first, "to": first + timedelta(days=40)})
            assert answer.status == 200, answer.text
            return list(answer.json["items"])

        return read

    def test_a_new_account_zone_moves_exactly_the_challenges_that_follow_it(
        self, owner: Client, member: Client, path: str, make: Callable[..., ChallengeJson], database: Database
    ) -> None:
        own_zone = make()
        member.post(f"/v1/challenges/{own_zone['invite_code']}/join", {"timezone": "Africa/Nairobi"})
        assert member.patch("/v1/me", {"timezone": "America/New_York"}).status == 200
        zones = database.execute("select u.username, p.timezone from challenges.participants p"
                                 " join identity.users u on u.id = p.user_id order by 1, 2")  # fmt: skip
        assert zones == [
            ("member", "Africa/Nairobi"),
            ("member", "America/New_York"),
            ("owner", "Europe/Berlin"),
            ("owner", "Europe/Berlin"),
        ]

    def test_sending_the_same_zone_again_changes_nothing(self, member: Client, database: Database) -> None:
        member.patch("/v1/me", {"timezone": "America/New_York"})
        before = row_versions(database)
        assert member.patch("/v1/me", {"timezone": "America/New_York"}).status == 200
        assert row_versions(database) == before

    def test_a_refused_change_moves_no_windows(self, owner: Client, member: Client, database: Database) -> None:
        before = row_versions(database)
        refused = member.patch("/v1/me", {"timezone": "America/New_York", "username": "owner"})
        assert refused.code == "username_taken"
        assert row_versions(database) == before
        assert member.get("/v1/me").json["timezone"] == "Asia/Tokyo"

    def test_a_draft_uses_the_new_zone_once_it_is_active(
        self, owner: Client, make: Callable[..., ChallengeJson], database: Database
    ) -> None:
        draft = make(status="draft")
        owner.patch("/v1/me", {"timezone": "Asia/Tokyo"})
        assert database.execute("select count(*) from challenges.windows") == [(0,)]
        owner.post(f"/v1/challenges/{draft['id']}/transitions", {"to": "active"})
        assert database.execute("select distinct timezone from challenges.windows") == [("Asia/Tokyo",)]

    def test_a_schedule_in_the_challenges_zone_does_not_move(
        self,
        owner: Client,
        make: Callable[..., ChallengeJson],
        windows_of: Callable[[Client, str], list[dict[str, Any]]],
    ) -> None:
        rules = {"version": 1, "schedule": {"days": ["mon", "thu"], "opens": "05:00", "closes": "08:00",
                                            "scope": "challenge_tz"}}  # fmt: skip
        path = f"/v1/challenges/{make(rules=rules)['id']}"
        before = windows_of(owner, path)
        assert preview_zone_change(owner, "Asia/Tokyo") == {}
        owner.patch("/v1/me", {"timezone": "Asia/Tokyo"})
        assert windows_of(owner, path) == before

    def test_reminders_follow_the_moved_windows(
        self, owner: Client, person: SignUp, database: Database, at: At
    ) -> None:
        """Reminders of the next days exist at once, others when their days come: one per window, at the right time."""
        traveller = person("traveller", "Asia/Tokyo")
        now = clock.now().replace(hour=11, minute=0, second=0, microsecond=0)  # no window closes within the hour
        at(now)
        code = owner.post("/v1/challenges", challenge_body(now)).json["invite_code"]
        assert traveller.post(f"/v1/challenges/{code}/join").status == 201
        traveller.patch("/v1/me", {"timezone": "America/New_York"})
        wrong = (
            "select count(*) from challenges.windows w join challenges.participants p on p.id = w.participant_id"
            " left join notifications.reminders r using (participant_id, local_date)"
            " where p.user_id = %(user)s and w.opens_at < %(now)s + interval '2 days' and w.closes_at > %(now)s"
            " and r.due_at is distinct from greatest(w.opens_at, w.closes_at - interval '60 minutes')"
        )
        for days in range(12):
            at(now + timedelta(days=days))
            windows_handler({}, LambdaContext())
            assert database.execute(wrong, user=traveller.user["id"], now=clock.now()) == [(0,)]
        before = row_versions(database)
        windows_handler({}, LambdaContext())
        assert row_versions(database) == before

    def test_concurrent_changes_to_two_zones_end_in_one_of_them(
        self, member: Client, challenge: dict[str, Any], make: Callable[..., ChallengeJson], database: Database
    ) -> None:
        """Four threads change ten challenges back and forth; account, participants and windows agree in the end."""
        for _ in range(9):
            member.post(f"/v1/challenges/{make()['invite_code']}/join")
        user = UUID(member.user["id"])
        zones = ["America/New_York", "Pacific/Kiritimati"]
        dates = "select participant_id, local_date from challenges.windows order by 1, 2"
        member.patch("/v1/me", {"timezone": zones[0]})
        before = database.execute(dates)
        start = threading.Barrier(4)
        failed: list[BaseException] = []

        def move(number: int) -> None:
            with psycopg.connect(database.system, autocommit=True, prepare_threshold=None) as connection:
                tx = db.Tx(connection, None)
                start.wait()
                for turn in range(4):
                    zone = zones[(number + turn) % 2]
                    try:
                        with connection.transaction():
                            now = clock.now()
                            zone_change.move_account(tx, user, zone, now)
                            users.update(
                                tx, user, username=None, timezone=zone, wants_reminders=None, quiet_hours=None,
                                sets_quiet_hours=False, now=now,
                            )  # fmt: skip
                            reminders.reschedule(tx, user, now)
                    except BaseException as error:
                        failed.append(error)
                        raise

        threads = [threading.Thread(target=move, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        windows_handler({}, LambdaContext())
        for thread in threads:
            thread.join()
        assert failed == []
        [(account, *others)] = database.execute(
            "select array_agg(distinct x.timezone) from (select timezone from identity.users where id = %(user)s"
            " union all select timezone from challenges.participants where user_id = %(user)s) x",
            user=user,
        )
        assert len(account) == 1
        assert not others
        assert account[0] in zones
        overlapping = (
            "select count(*) from challenges.windows a join challenges.windows b using (participant_id)"
            " where a.local_date < b.local_date and a.closes_at > b.opens_at"
        )
        assert database.execute(overlapping) == [(0,)]
        assert set(database.execute(dates)) >= set(before)
