"""Limits on creating and joining challenges: per hour, and in total."""

from collections.abc import Callable
from datetime import timedelta

from challenges import rules
from chally import clock
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp


class TestJoins:
    def test_ten_attempts_to_join_an_hour_are_allowed_even_if_they_fail(
        self, stranger: Client, by_code: str, later: Callable[[timedelta], None]
    ) -> None:
        for number in range(10):
            assert stranger.post(f"/v1/challenges/WRONG{number:03}/join").code == "not_found"
        refused = stranger.post(by_code)
        assert (refused.status, refused.code) == (429, "rate_limited")
        assert refused.headers["retry-after"] == "360"
        later(timedelta(minutes=6))
        assert stranger.post(by_code).status == 201

    def test_failed_attempts_of_one_person_do_not_limit_others(
        self, stranger: Client, member: Client, by_code: str, person: SignUp
    ) -> None:
        for number in range(11):
            stranger.post(f"/v1/challenges/WRONG{number:03}/join")
        assert member.post(by_code).status == 200


class TestCreation:
    def test_twenty_challenges_an_hour_can_be_created(self, owner: Client, later: Callable[[timedelta], None]) -> None:
        """Refused bodies are free."""
        assert {owner.post("/v1/challenges", {}).status for _ in range(3)} == {422}
        body = challenge_body(clock.now())
        assert {owner.post("/v1/challenges", body).status for _ in range(20)} == {201}
        assert owner.post("/v1/challenges", body).code == "rate_limited"
        later(timedelta(minutes=3))
        assert owner.post("/v1/challenges", body).status == 201


class TestQuotas:
    def fill(self, database: Database, owner: Client, number: int, *, status: str = "active", days: int = 30) -> None:
        """Insert challenges that a person owns and takes part in."""
        database.execute(
            "with made as (insert into challenges.challenges (owner_id, title, status, invite_code, timezone,"
            " starts_at, ends_at, rules)"
            " select %(owner)s, 't', %(status)s, gen_random_uuid(), 'UTC', now() - interval '99 days',"
            " now() + make_interval(days => %(days)s), '{}' from generate_series(1, %(number)s) returning id)"
            " insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since)"
            " select id, %(owner)s, 'UTC', now(), now() from made",
            owner=owner.user["id"],
            status=status,
            days=days,
            number=number,
        )

    def test_the_quota_of_owned_challenges_in_the_database_is_that_of_the_rules(
        self, owner: Client, database: Database
    ) -> None:
        self.fill(database, owner, rules.MAX_OWNED - 1)
        self.fill(database, owner, 10, status="archived")
        self.fill(database, owner, 10, status="deleted")
        last = owner.post("/v1/challenges", challenge_body(clock.now()))
        assert last.status == 201
        refused = owner.post("/v1/challenges", challenge_body(clock.now()))
        assert (refused.status, refused.code) == (409, "quota_owned")
        owner.post(f"/v1/challenges/{last.json['id']}/transitions", {"to": "deleted"})
        assert owner.post("/v1/challenges", challenge_body(clock.now())).status == 201

    def test_a_person_cannot_take_part_in_more_challenges_than_the_quota(
        self, stranger: Client, by_code: str, path: str, database: Database
    ) -> None:
        self.fill(database, stranger, rules.MAX_JOINED)
        self.fill(database, stranger, 5, days=-1)  # over, so they do not count
        refused = stranger.post(by_code)
        assert (refused.status, refused.code) == (409, "quota_joined")
        database.execute(
            "update challenges.participants set left_at = now() where id = (select p.id from challenges.participants p"
            " join challenges.challenges c on c.id = p.challenge_id"
            " where p.user_id = %(user)s and ends_at > now() limit 1)",
            user=stranger.user["id"],
        )
        assert stranger.post(by_code).status == 201
        assert stranger.post(by_code).status == 200  # a participant may always repeat the request

    def test_rejoining_counts_towards_the_quota(
        self, member: Client, path: str, by_code: str, database: Database
    ) -> None:
        member.post(f"{path}/leave")
        self.fill(database, member, rules.MAX_JOINED)
        assert member.post(by_code).code == "quota_joined"
