"""Row-level security of challenges: what the role chally_app may see and do."""

from typing import Any

import psycopg
import pytest

from chally import clock
from tests.support.api import Client
from tests.support.challenge_views import place_of, roster
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp


class TestRowLevelSecurity:
    TABLES = ("challenges", "participants")

    def seen(self, database: Database, who: Client) -> dict[str, int]:
        with psycopg.connect(database.app) as app:
            app.execute("select set_config('chally.actor', %s, true)", [who.user["id"]])
            counts = {}
            for table in self.TABLES:
                row = app.execute(f"select count(*) from challenges.{table}".encode()).fetchone()
                counts[table] = row[0] if row else -1
            return counts

    def test_only_participants_see_the_roster_and_those_who_left_only_themselves(
        self,
        owner: Client,
        member: Client,
        stranger: Client,
        person: SignUp,
        path: str,
        by_code: str,
        database: Database,
    ) -> None:
        removed = person("removed")
        removed.post(by_code)
        assert self.seen(database, member) == {"challenges": 1, "participants": 3}
        member.post(f"{path}/leave")
        owner.delete(f"{path}/participants/{place_of(owner, path, 'removed')}")
        assert self.seen(database, stranger) == {"challenges": 0, "participants": 0}
        for gone in (member, removed):  # only their own row, which belongs to their export
            assert self.seen(database, gone) == {"challenges": 0, "participants": 1}
        assert self.seen(database, owner)["participants"] == 1

    def test_an_invite_code_alone_shows_no_challenge(
        self, stranger: Client, challenge: dict[str, Any], database: Database
    ) -> None:
        with psycopg.connect(database.app) as app:
            app.execute("select set_config('chally.actor', %s, true)", [stranger.user["id"]])
            app.execute("select set_config('chally.invite_code', %s, true)", [challenge["invite_code"]])
            assert app.execute("select count(*) from challenges.challenges").fetchone() == (0,)

    @pytest.mark.parametrize(
        "forbidden",
        [
            "insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since)"
            " values (%(challenge)s, %(user)s, 'UTC', '2020-01-01', '2020-01-01')",
            "update challenges.participants set joined_at = '2020-01-01'",
            "update challenges.participants set left_at = null",
            "update challenges.challenges set participant_count = 0",
            "update challenges.challenges set owner_id = %(user)s",
            "select challenges.end_participation(%(challenge)s, %(user)s, true, now())",
            "select notifications.clear_reminders(%(user)s, now())",
        ],
    )
    def test_nobody_can_write_participants_or_counts_directly(
        self, member: Client, challenge: dict[str, Any], database: Database, forbidden: str
    ) -> None:
        with psycopg.connect(database.app) as app:
            app.execute("select set_config('chally.actor', %s, true)", [member.user["id"]])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(forbidden.encode(), {"challenge": challenge["id"], "user": member.user["id"]})

    def test_a_participant_who_left_cannot_send_proofs(
        self, owner: Client, stranger: Client, database: Database
    ) -> None:
        public = owner.post("/v1/challenges", challenge_body(clock.now(), visibility="public")).json
        path = f"/v1/challenges/{public['id']}"
        stranger.post(f"{path}/join")
        stranger.post(f"{path}/leave")
        proof = {"content_type": "image/jpeg", "content_length": 10, "sha256": "0" * 64}
        assert stranger.post(f"{path}/proofs", proof).code == "not_participant"
        with psycopg.connect(database.app) as app:
            app.execute("select set_config('chally.actor', %s, true)", [stranger.user["id"]])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(
                    "insert into proofs.proofs (challenge_id, participant_id, user_id, local_date, opens_at, closes_at,"
                    " content_type, content_length, sha256, object_key, created_at)"
                    " select challenge_id, id, user_id, now(), now(), now() + interval '1 hour', 'image/jpeg', 10,"
                    " sha256(''), 'k', now() from challenges.participants where user_id = core.actor()"
                )

    def test_database_functions_act_only_for_the_actor(
        self, owner: Client, member: Client, stranger: Client, challenge: dict[str, Any], path: str, database: Database
    ) -> None:
        place = place_of(owner, path, "member")
        with psycopg.connect(database.app) as app:
            app.execute("select set_config('chally.actor', %s, true)", [stranger.user["id"]])
            values = {"challenge": challenge["id"], "place": place}
            assert app.execute("select challenges.leave(%(challenge)s, now())", values).fetchone() == (False,)
            assert app.execute("select challenges.remove(%(challenge)s, %(place)s, now())", values).fetchone() == (
                None,
            )
            assert (
                app.execute("select * from challenges.join(%(challenge)s, null, 'UTC', now(), 200)", values).fetchall()
                == []
            )
        assert roster(owner, path) == ["owner", "member"]
