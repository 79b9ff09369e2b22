"""Reading standings: visibility, order and pages."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from challenges.queries import standings as queries
from challenges.queries.standings import RankedStanding
from tests.support.api import Client
from tests.support.challenge_views import ranked
from tests.support.challenges import ChallengeJson
from tests.support.concurrency import acting, connect
from tests.support.database import Database
from tests.support.people import SignUp, insert_users
from tests.support.season import Season, season

FIRST = datetime(2026, 11, 2, tzinfo=UTC)


class TestRoute:
    """People who may see the roster may see the standings; others may not, not even a moderator."""

    @pytest.fixture
    def moderator(self, person: SignUp, database: Database) -> Client:
        client = person("mona")
        database.execute("update identity.users set role = 'moderator' where username = 'mona'")
        return client

    @pytest.fixture
    def read(
        self,
        nobody: Client,
        stranger: Client,
        moderator: Client,
        owner: Client,
        make: Callable[..., ChallengeJson],
        person: SignUp,
    ) -> Callable[..., dict[str, object]]:
        member, left = person("member"), person("left")
        readers = {
            "nobody": nobody, "stranger": stranger, "moderator": moderator, "left": left, "member": member,
            "owner": owner,
        }  # fmt: skip

        def read(**changes: Any) -> dict[str, object]:
            """Return the usernames that each reader sees, or the error code."""
            made = make(**changes)
            if made["status"] == "active":
                for each in (member, left):
                    assert each.post(f"/v1/challenges/{made['invite_code']}/join").status == 201
                assert left.post(f"/v1/challenges/{made['id']}/leave").status == 204
            path = f"/v1/challenges/{made['id']}/standings"
            answers = {name: reader.get(path) for name, reader in readers.items()}
            return {
                name: [item["username"] for item in answer.json["items"]] if answer.status == 200 else answer.code
                for name, answer in answers.items()
            }

        return read

    BOTH = ["owner", "member"]

    @pytest.mark.parametrize(
        ("visibility", "shown_to", "others", "member"),
        [
            ("code", "participants", "not_found", BOTH),
            ("private", "everyone", "not_found", BOTH),
            ("code", "owner", "not_found", "roster_hidden"),
            ("public", "participants", "roster_hidden", BOTH),
            ("public", "owner", "roster_hidden", "roster_hidden"),
            ("public", "everyone", BOTH, BOTH),
        ],
    )
    def test_standings_are_shown_to_those_who_see_the_roster(
        self, read: Callable[..., dict[str, object]], visibility: str, shown_to: str, others: object, member: object
    ) -> None:
        assert read(visibility=visibility, roster_visibility=shown_to) == {
            "nobody": "unauthenticated",
            "stranger": others,
            "moderator": others,
            "left": others,
            "member": member,
            "owner": self.BOTH,
        }

    def test_standings_of_a_draft_are_shown_only_to_its_owner(self, read: Callable[..., dict[str, object]]) -> None:
        seen = read(status="draft", visibility="public", roster_visibility="everyone")
        assert seen.pop("owner") == ["owner"]
        assert seen.pop("nobody") == "unauthenticated"
        assert set(seen.values()) == {"not_found"}

    def test_a_page_past_the_end_is_empty(self, member: Client, stranger: Client, path: str) -> None:
        assert member.get(f"{path}/standings", offset=2).json == {"items": [], "has_more": False, "next_cursor": None}
        assert stranger.get(f"{path}/standings", offset=2).code == "not_found"

    def test_a_cursor_of_another_list_is_refused(self, member: Client, path: str) -> None:
        roster = member.get(f"{path}/participants", limit=1).json["next_cursor"]
        for cursor in (roster, "x", "LTEgeA"):
            assert member.get(f"{path}/standings", cursor=cursor).status == 422

    def test_a_participant_who_left_is_ranked_again_after_rejoining(
        self, owner: Client, member: Client, person: SignUp, path: str, by_code: str, database: Database
    ) -> None:
        third = person("third")
        third.post(by_code)
        database.execute("update challenges.standings set points = 10")
        database.execute(
            "update challenges.standings set points = 30 where participant_id in (select p.id from"
            " challenges.participants p join identity.users u on u.id = p.user_id where username = 'member')"
        )
        assert ranked(owner, path) == [(1, "member"), (2, "owner"), (2, "third")]
        member.post(f"{path}/leave")
        assert ranked(owner, path) == [(1, "owner"), (1, "third")]
        member.post(by_code)
        assert ranked(owner, path) == [(1, "member"), (2, "owner"), (2, "third")]


class TestPages:
    """Pages as a participant's connection reads them."""

    @pytest.fixture
    def people(self, database: Database) -> list[UUID]:
        return insert_users(database, 30)

    @pytest.fixture
    def connection(self, database: Database) -> Iterator[psycopg.Connection[Any]]:
        connection = connect(database)
        yield connection
        connection.close()

    def page(
        self,
        connection: psycopg.Connection[Any],
        run: Season,
        after: RankedStanding | None,
        limit: int,
        offset: int = 0,
    ) -> list[RankedStanding]:
        position = None if after is None else (after.points, after.participant_id)
        with acting(connection, run.users[0]) as tx:
            return queries.ranking(tx, run.challenge, after=position, offset=offset, limit=limit)

    def pages(
        self,
        connection: psycopg.Connection[Any],
        run: Season,
        limit: int,
        between: Callable[[list[RankedStanding]], object] = lambda read: None,
    ) -> list[RankedStanding]:
        read: list[RankedStanding] = []
        while page := self.page(connection, run, read[-1] if read else None, limit):
            read += page
            between(read)
        return read

    def arrange(self, run: Season, points: list[int], gone: set[int]) -> list[tuple[int, UUID, int]]:
        """Return (rank, participant, points), with ranks from a count of better participants."""
        with psycopg.connect(run.database.url) as admin:
            admin.execute(
                "update challenges.standings s set points = n.points"
                " from unnest(%s::uuid[], %s::integer[]) as n (id, points) where s.participant_id = n.id",
                (list(run.participants), points),
            )
            admin.execute(
                "update challenges.participants set left_at = case when id = any (%s) then joined_at end"
                " where challenge_id = %s",
                ([run.participants[each] for each in gone], run.challenge),
            )
        here = [(p, who) for n, (p, who) in enumerate(zip(points, run.participants, strict=True)) if n not in gone]
        return [
            (1 + sum(other > p for other, _ in here), who, p)
            for p, who in sorted(here, key=lambda each: (-each[0], each[1]))
        ]

    @given(
        points=st.lists(st.integers(0, 4), min_size=30, max_size=30),
        gone=st.sets(st.integers(1, 29)),
        limit=st.integers(1, 31),
        offset=st.integers(0, 31),
    )
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_ranks_match_a_count_of_better_participants(
        self,
        database: Database,
        people: list[UUID],
        connection: psycopg.Connection[Any],
        points: list[int],
        gone: set[int],
        limit: int,
        offset: int,
    ) -> None:
        run = season(database, people, first=FIRST, days=1)
        right = self.arrange(run, points, gone)
        read = self.pages(connection, run, limit)
        assert [(row.rank, row.participant_id, row.points) for row in read] == right
        skipped = self.page(connection, run, None, limit, offset)
        assert [(row.rank, row.participant_id, row.points) for row in skipped] == right[offset : offset + limit]

    def test_unchanged_standings_appear_exactly_once_while_others_move(
        self, database: Database, people: list[UUID], connection: psycopg.Connection[Any]
    ) -> None:
        run = season(database, people, first=FIRST, days=1)
        self.arrange(run, [n // 3 * 10 for n in range(30)], set())
        movers = run.participants[::4]

        def move(read: list[RankedStanding]) -> None:
            """Move participants already read to the last place, and others to the first."""
            seen = {row.participant_id for row in read}
            database.execute(
                "update challenges.standings set points = case when participant_id = any (%(seen)s) then 0 else 500 end"
                " where participant_id = any (%(movers)s)",
                seen=list(seen),
                movers=list(movers),
            )

        read = [row.participant_id for row in self.pages(connection, run, 4, move)]
        assert sorted(each for each in read if each not in movers) == sorted(set(run.participants) - set(movers))

    def test_the_database_hides_standings_from_strangers(self, database: Database, people: list[UUID]) -> None:
        run = season(database, people[:3], first=FIRST, days=1)
        with connect(database) as app:
            for reader, seen in ((people[0], 3), (people[2], 3), (people[5], 0), (None, 0)):
                with app.transaction():
                    app.execute("select set_config('chally.actor', %s, true)", [str(reader or "")])
                    rows = app.execute("select * from challenges.ranking(%s, null, null, 0, 10)", [run.challenge])
                    assert rows.rowcount == seen
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("update challenges.standings set present = true")
