"""The lists discover, mine and joined: visibility, order and pages."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chally import clock
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

LISTS = ("/v1/challenges", "/v1/challenges/mine", "/v1/challenges/joined")


def make(client: Client, title: str, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/challenges", challenge_body(clock.now(), title=title, **changes))
    assert answer.status == 201, answer.text
    return dict(answer.json)


def titles(client: Client, path: str = "/v1/challenges", **query: object) -> list[str]:
    answer = client.get(path, **query)
    assert answer.status == 200, answer.text
    return [item["title"] for item in answer.json["items"]]


@pytest.mark.parametrize("path", LISTS)
def test_lists_require_a_sign_in(nobody: Client, path: str) -> None:
    assert nobody.get(path).status == 401


class TestDiscover:
    def test_discover_omits_drafts_and_deleted_challenges(self, owner: Client, stranger: Client) -> None:
        make(owner, "public", visibility="public")
        make(owner, "by code", visibility="code")
        make(owner, "private", visibility="private")
        make(owner, "draft", visibility="public", status="draft")
        gone = make(owner, "deleted", visibility="public")
        owner.post(f"/v1/challenges/{gone['id']}/transitions", {"to": "deleted"})
        for reader in (stranger, owner):
            assert titles(reader) == ["public"]

    def test_discover_shows_what_each_reader_may_see(self, owner: Client, stranger: Client, person: SignUp) -> None:
        made = make(owner, "public", visibility="public")
        member = person("member")
        member.post(f"/v1/challenges/{made['id']}/join")
        seen = {
            name: client.get("/v1/challenges").json["items"][0]
            for name, client in (("owner", owner), ("member", member), ("stranger", stranger))
        }
        assert {name: (item["is_owner"], item["is_participant"]) for name, item in seen.items()} == {
            "owner": (True, True),
            "member": (False, True),
            "stranger": (False, False),
        }
        assert seen["stranger"]["invite_code"] is None
        assert seen["member"]["invite_code"] == made["invite_code"]
        assert seen["stranger"]["participant_count"] == 2
        assert seen["owner"] == owner.get(f"/v1/challenges/{made['id']}").json

    @pytest.mark.parametrize(
        ("q", "expected"),
        [
            ("run", ["Trail running", "Morning Run"]),
            ("RUN morning", ["Morning Run"]),
            ("coffee", ["Morning Run"]),  # in the description
            ("run, morning!", ["Morning Run"]),
            ("übung", ["ÜBUNG macht den Meister"]),
            ("ubung", ["ÜBUNG macht den Meister"]),  # without accents
            ("勉強", ["毎日日本語を勉強する"]),  # inside a script without spaces
            ("🏃", ["C++ 🏃"]),
            ("c++", ["C++ 🏃"]),
            ("दौड़", ["सुबह की दौड़"]),
            ("e-mail", ["Inbox zero: no e-mail at night"]),
            ("mail", ["Inbox zero: no e-mail at night"]),
            ("unning", []),  # the middle of a word does not match
            ("run swim", []),
            ("!!!", []),
            ("", None),
            ("  ", None),
            ("'); drop", []),
            (r"\ & | <-> :*", []),
        ],
    )
    def test_a_search_finds_words_and_their_beginnings(
        self, owner: Client, stranger: Client, q: str, expected: list[str] | None
    ) -> None:
        make(owner, "Morning Run", visibility="public", description="Before the first coffee.")
        make(owner, "Trail running", visibility="public")
        make(owner, "ÜBUNG macht den Meister", visibility="public")
        make(owner, "सुबह की दौड़", visibility="public")
        make(owner, "Inbox zero: no e-mail at night", visibility="public")
        make(owner, "毎日日本語を勉強する", visibility="public")
        make(owner, "C++ 🏃", visibility="public")
        make(owner, "C# and cooking", visibility="public")
        make(owner, "Running in secret", visibility="private")
        assert titles(stranger, q=q) == (titles(stranger) if expected is None else expected)

    def test_any_text_can_be_stored_and_searched(self, owner: Client, stranger: Client) -> None:
        """Includes a word longer than an index entry may be, and characters of the search syntax."""
        make(owner, "x" * 120, visibility="public", description="ß" * 2000)
        make(owner, "🏃 :* & 'quoted' \\ <->", visibility="public")
        assert titles(stranger, q="x" * 100) == ["x" * 120]
        assert titles(stranger, q="quoted") == ["🏃 :* & 'quoted' \\ <->"]
        assert stranger.get("/v1/challenges", q="\0").status == 422
        assert stranger.get("/v1/challenges", q="x" * 101).status == 422

    def test_a_search_finds_an_edited_challenge_at_once(self, owner: Client, stranger: Client) -> None:
        made = make(owner, "Running", visibility="public")
        owner.patch(f"/v1/challenges/{made['id']}", {"title": "Swimming"})
        assert titles(stranger, q="running") == []
        assert titles(stranger, q="swimming") == ["Swimming"]
        owner.patch(f"/v1/challenges/{made['id']}", {"visibility": "private"})
        assert titles(stranger, q="swimming") == []

    def test_discover_filters_by_runtime_state(
        self, owner: Client, stranger: Client, at: Callable[[datetime], None], database: Database
    ) -> None:
        now = clock.now()
        for state in ("paused", "canceled", "archived"):
            made = make(owner, state, visibility="public")
            database.execute(
                "update challenges.challenges set status = %(status)s where id = %(id)s", status=state, id=made["id"]
            )
        make(owner, "ended", visibility="public", ends_at=(now + timedelta(minutes=30)).isoformat())
        make(owner, "upcoming", visibility="public", starts_at=(now + timedelta(days=2)).isoformat())
        make(owner, "started", visibility="public")
        at(now + timedelta(hours=1))
        for state in ("upcoming", "started", "ended", "paused", "canceled", "archived"):
            assert titles(stranger, state=state) == [state]
            assert [item["runtime_state"] for item in stranger.get("/v1/challenges", state=state).json["items"]] == [
                state
            ]
        assert len(titles(stranger)) == 6
        assert titles(stranger, q="started", state="ended") == []
        assert stranger.get("/v1/challenges", state="draft").status == 422


class TestMine:
    def test_mine_lists_owned_challenges_including_drafts(self, owner: Client, stranger: Client) -> None:
        for title, status in (("first", "active"), ("draft", "draft")):
            make(owner, title, status=status, visibility="private")
        gone = make(owner, "gone")
        owner.post(f"/v1/challenges/{gone['id']}/transitions", {"to": "deleted"})
        make(stranger, "theirs", visibility="public")
        assert titles(owner, "/v1/challenges/mine") == ["draft", "first"]
        assert all(item["is_owner"] for item in owner.get("/v1/challenges/mine").json["items"])


class TestJoined:
    def test_joined_lists_challenges_including_your_own(self, owner: Client, stranger: Client) -> None:
        older, newer = make(owner, "older"), make(owner, "newer")
        make(stranger, "own")
        for made in (newer, older):
            assert stranger.post(f"/v1/challenges/{made['invite_code']}/join").status == 201
        assert titles(stranger, "/v1/challenges/joined") == ["older", "newer", "own"]  # the last joined first
        item = stranger.get("/v1/challenges/joined").json["items"][0]
        assert (item["is_participant"], item["is_owner"], item["invite_code"]) == (True, False, older["invite_code"])
        assert titles(owner, "/v1/challenges/joined") == ["newer", "older"]

    def test_joined_omits_challenges_that_were_left_or_deleted(self, owner: Client, stranger: Client) -> None:
        left, gone, stays = make(owner, "left"), make(owner, "gone"), make(owner, "stays")
        for made in (left, gone, stays):
            stranger.post(f"/v1/challenges/{made['invite_code']}/join")
        stranger.post(f"/v1/challenges/{left['id']}/leave")
        owner.post(f"/v1/challenges/{gone['id']}/transitions", {"to": "deleted"})
        assert titles(stranger, "/v1/challenges/joined") == ["stays"]


class TestPages:
    @pytest.mark.parametrize("path", LISTS)
    def test_pages_neither_skip_nor_repeat_items_while_the_list_grows(self, owner: Client, path: str) -> None:
        for number in range(5):
            make(owner, f"old {number}", visibility="public")
        first = owner.get(path, limit=2).json
        make(owner, "new", visibility="public")
        seen, cursor = [item["title"] for item in first["items"]], first["next_cursor"]
        while cursor:
            page = owner.get(path, limit=2, cursor=cursor).json
            assert page["has_more"] == (page["next_cursor"] is not None)
            seen += [item["title"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert seen == [f"old {number}" for number in (4, 3, 2, 1, 0)]

    @pytest.mark.parametrize("path", LISTS)
    def test_pages_can_be_read_by_offset(self, owner: Client, path: str) -> None:
        for number in range(3):
            make(owner, f"{number}", visibility="public")
        assert titles(owner, path, limit=2, offset=1) == ["1", "0"]
        assert titles(owner, path, offset=3) == []
        for wrong in ({"limit": 0}, {"limit": 101}, {"offset": -1}, {"cursor": "YQ"}):
            assert owner.get(path, **wrong).status == 422

    def test_pages_of_a_search_neither_skip_nor_repeat_items(self, owner: Client) -> None:
        for number in range(3):
            make(owner, f"run {number}", visibility="public")
            make(owner, f"swim {number}", visibility="public")
        first = owner.get("/v1/challenges", q="run", limit=2).json
        second = owner.get("/v1/challenges", q="run", limit=2, cursor=first["next_cursor"]).json
        assert [item["title"] for page in (first, second) for item in page["items"]] == ["run 2", "run 1", "run 0"]
