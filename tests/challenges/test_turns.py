"""TwoTransactions concurrent transactions, step by step: which one waits, and what the second one finds."""

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from challenges.queries import challenges, participants
from chally import clock
from chally.db import Tx
from tests.support.api import Client
from tests.support.challenges import ChallengeJson
from tests.support.concurrency import TwoTransactions, acting, check_counts, joining, leaving
from tests.support.database import Database
from tests.support.people import insert_users


def pausing(made: ChallengeJson) -> Callable[[Tx], str]:
    def pause(tx: Tx) -> str:
        assert challenges.lock(tx, UUID(made["id"]))
        challenges.set_status(tx, UUID(made["id"]), "paused", clock.now())
        return "paused"

    return pause


class TestStepByStep:
    @pytest.fixture
    def people(self, database: Database) -> list[UUID]:
        return insert_users(database, 3)

    def owner_id(self, owner: Client) -> UUID:
        return UUID(owner.user["id"])

    def join_without_count(self, tx: Tx, made: ChallengeJson) -> None:
        """Run a join without its last statement, which counts."""
        place = participants.join(tx, None, made["invite_code"], None, clock.now())
        assert place is not None
        assert place.is_new

    def test_a_join_fails_if_the_challenge_is_paused_before_the_count(
        self,
        two: TwoTransactions,
        make: Callable[..., ChallengeJson],
        owner: Client,
        people: list[UUID],
        database: Database,
    ) -> None:
        made = make()

        def enter(tx: Tx) -> None:
            self.join_without_count(tx, made)
            two.begin(self.owner_id(owner), pausing(made)).join()
            assert two.outcome == "paused"  # it did not have to wait

        assert two.commits(people[0], enter) == "not_active"
        check_counts(database)

    def test_a_pause_waits_for_a_join_that_is_counted(
        self,
        two: TwoTransactions,
        make: Callable[..., ChallengeJson],
        owner: Client,
        people: list[UUID],
        database: Database,
    ) -> None:
        made = make()
        with acting(two.first, people[0]) as tx:
            assert joining(made)(tx) == "joined"
            paused = two.begin(self.owner_id(owner), pausing(made))
            assert two.outcome == ""
        paused.join()
        assert two.outcome == "paused"
        assert database.execute("select status, participant_count from challenges.challenges") == [("paused", 2)]

    def test_two_joins_compute_windows_without_blocking_each_other(
        self, two: TwoTransactions, make: Callable[..., ChallengeJson], people: list[UUID], database: Database
    ) -> None:
        """The challenge's row is only locked for the count and the commit."""
        made = make()
        with acting(two.first, people[0]) as tx:
            self.join_without_count(tx, made)
            two.begin(people[1], joining(made)).join()
            assert two.outcome == "joined"
            assert joining(made)(tx) == "had joined"
        check_counts(database)

    def test_a_join_fails_if_max_participants_is_lowered_before_the_count(
        self,
        two: TwoTransactions,
        make: Callable[..., ChallengeJson],
        owner: Client,
        people: list[UUID],
        database: Database,
    ) -> None:
        made = make(max_participants=2)
        path = f"/v1/challenges/{made['id']}"

        def enter(tx: Tx) -> None:
            self.join_without_count(tx, made)
            assert owner.patch(path, {"max_participants": 1}).status == 200

        assert two.commits(people[0], enter) == "full"
        check_counts(database)

    def test_a_join_fails_if_late_joining_ends_before_the_count(
        self,
        two: TwoTransactions,
        make: Callable[..., ChallengeJson],
        owner: Client,
        people: list[UUID],
        database: Database,
    ) -> None:
        made = make()

        def enter(tx: Tx) -> None:
            self.join_without_count(tx, made)
            assert owner.patch(f"/v1/challenges/{made['id']}", {"late_join": False}).status == 200

        assert two.commits(people[0], enter) == "already_started"
        check_counts(database)

    def test_max_participants_cannot_be_lowered_below_a_counted_join(
        self,
        two: TwoTransactions,
        make: Callable[..., ChallengeJson],
        owner: Client,
        people: list[UUID],
        database: Database,
    ) -> None:
        made = make(max_participants=2)

        def lower(tx: Tx) -> str:
            challenges.lock(tx, UUID(made["id"]))
            found = challenges.find(tx, UUID(made["id"]))
            assert found is not None
            return f"{found.participant_count} are in"

        with acting(two.first, people[0]) as tx:
            assert joining(made)(tx) == "joined"
            lowered = two.begin(self.owner_id(owner), lower)
            assert two.outcome == ""
        lowered.join()
        assert two.outcome == "2 are in"  # so the edit will be refused
        assert owner.patch(f"/v1/challenges/{made['id']}", {"max_participants": 1}).code == "below_participant_count"

    def test_the_last_place_goes_to_the_first_of_two_joins(
        self, two: TwoTransactions, make: Callable[..., ChallengeJson], people: list[UUID], database: Database
    ) -> None:
        made = make(max_participants=2)
        with acting(two.first, people[0]) as tx:
            assert joining(made)(tx) == "joined"
            other = two.begin(people[1], joining(made))
            assert two.outcome == ""
        other.join()
        assert two.outcome == "full"
        check_counts(database)

    def test_the_last_place_goes_to_the_second_join_if_the_first_fails(
        self, two: TwoTransactions, make: Callable[..., ChallengeJson], people: list[UUID], database: Database
    ) -> None:
        made = make(max_participants=2)
        waiting: list[threading.Thread] = []

        def fail(tx: Tx) -> None:
            joining(made)(tx)
            waiting.append(two.begin(people[1], joining(made)))
            raise psycopg.errors.QueryCanceled

        assert two.commits(people[0], fail) == "QueryCanceled"
        waiting[0].join()
        assert two.outcome == "joined"
        check_counts(database)

    def test_a_place_is_free_once_the_leaving_has_committed(
        self, two: TwoTransactions, make: Callable[..., ChallengeJson], people: list[UUID], database: Database
    ) -> None:
        made = make(max_participants=2)
        with acting(two.first, people[0]) as tx:
            joining(made)(tx)
        with acting(two.first, people[0]) as tx:
            leaving(made)(tx)
            two.begin(people[1], joining(made)).join()
            assert two.outcome == "full"  # before the commit
        two.begin(people[1], joining(made)).join()
        assert two.outcome == "joined"
        check_counts(database)

    def test_an_edit_of_the_schedule_waits_for_joins(
        self,
        two: TwoTransactions,
        make: Callable[..., ChallengeJson],
        owner: Client,
        people: list[UUID],
        database: Database,
    ) -> None:
        """Otherwise their windows would keep the old rules."""
        made = make(starts_at=(clock.now() + timedelta(hours=20)).isoformat())

        def edit(tx: Tx) -> str:
            challenges.lock_schedule(tx, UUID(made["id"]))
            challenges.lock(tx, UUID(made["id"]))
            return f"{len(participants.roster(tx, UUID(made['id']), after=None, offset=0, limit=9))} are in"

        with acting(two.first, people[0]) as tx:
            self.join_without_count(tx, made)
            edited = two.begin(self.owner_id(owner), edit)
            assert two.outcome == ""
        edited.join()
        assert two.outcome == "2 are in"

    def test_a_removal_during_a_rejoin_keeps_the_participant_out(
        self,
        two: TwoTransactions,
        make: Callable[..., ChallengeJson],
        owner: Client,
        people: list[UUID],
        database: Database,
    ) -> None:
        """The rejoin waits, sees the removal, and cannot use the old code."""
        made = make()
        for act in (joining(made), leaving(made)):
            with acting(two.first, people[0]) as tx:
                act(tx)
        place = database.execute("select id from challenges.participants where user_id = %(user)s", user=people[0])[0][
            0
        ]
        with acting(two.first, self.owner_id(owner)) as tx:
            assert participants.remove(tx, UUID(made["id"]), place, clock.now()) == people[0]
            back = two.begin(people[0], joining(made))
            assert two.outcome == ""
        back.join()
        assert two.outcome == "removed"
        check_counts(database)

    def test_a_removal_after_a_rejoin_removes_the_participant(
        self,
        two: TwoTransactions,
        make: Callable[..., ChallengeJson],
        owner: Client,
        people: list[UUID],
        database: Database,
    ) -> None:
        """The removal waits for the rejoin, and then takes effect."""
        made = make()
        for act in (joining(made), leaving(made)):
            with acting(two.first, people[0]) as tx:
                act(tx)
        place = database.execute("select id from challenges.participants where user_id = %(user)s", user=people[0])[0][
            0
        ]

        def remove(tx: Tx) -> str:
            assert participants.remove(tx, UUID(made["id"]), place, clock.now()) == people[0]
            return "removed"

        with acting(two.first, people[0]) as tx:
            assert joining(made)(tx) == "joined"
            removed = two.begin(self.owner_id(owner), remove)
            assert two.outcome == ""
        removed.join()
        assert two.outcome == "removed"
        assert two.commits(people[0], joining(made)) == "removed"
        assert database.execute(
            "select participant_count, left_at is not null from challenges.challenges c"
            " join challenges.participants p on p.challenge_id = c.id where p.id = %(place)s",
            place=place,
        ) == [(1, True)]
        check_counts(database)
