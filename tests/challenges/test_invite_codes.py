"""Invite codes: who may replace them, and what happens to the old ones."""

from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from chally import clock
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.concurrency import TwoTransactions, joining


class TestInviteCode:
    def test_only_the_owner_can_replace_the_invite_code(
        self, nobody: Client, stranger: Client, member: Client, owner: Client, path: str
    ) -> None:
        assert nobody.post(f"{path}/invite-code").status == 401
        assert stranger.post(f"{path}/invite-code").code == "not_found"
        assert member.post(f"{path}/invite-code").code == "not_owner"
        assert owner.post(f"{path}/invite-code").status == 200

    def test_a_replaced_code_stops_working_at_once(
        self, owner: Client, stranger: Client, member: Client, path: str, by_code: str, challenge: dict[str, Any]
    ) -> None:
        code = owner.post(f"{path}/invite-code").json["invite_code"]
        assert code != challenge["invite_code"]
        assert set(code) <= set("ABCDEFGHJKMNPQRSTUVWXYZ23456789")
        assert stranger.post(by_code).code == "not_found"
        assert stranger.post(f"/v1/challenges/{code.lower()}/join").status == 201
        assert member.get(path).json["invite_code"] == code
        assert member.post(by_code).code == "not_found"  # for participants, too

    @pytest.mark.parametrize(
        "typed", ["{a}-{b}", " {a} {b}\n", "{a}\u2011{b}", "{a}\u00a0\u2013\u00a0{b}", "\uff0d{a}{b}.", "{a}_{b}"]
    )
    def test_a_code_is_recognised_however_it_was_typed(
        self, stranger: Client, challenge: dict[str, Any], typed: str
    ) -> None:
        """With spaces and dashes, in any case."""
        code = challenge["invite_code"].lower()
        ref = quote(typed.format(a=code[:4], b=code[4:]))
        assert stranger.post(f"/v1/challenges/{ref}/join").status == 201

    def test_a_code_in_full_width_is_recognised(self, stranger: Client, challenge: dict[str, Any]) -> None:
        ref = challenge["invite_code"].translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)})
        assert stranger.post(f"/v1/challenges/{quote(ref)}/join").status == 201

    def test_a_code_that_is_already_taken_is_drawn_again(
        self, owner: Client, path: str, challenge: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = owner.post("/v1/challenges", challenge_body(clock.now())).json
        codes = iter([other["invite_code"], "ANEWCODE"])
        monkeypatch.setattr("challenges.routes.challenges._new_code", lambda: next(codes))
        assert owner.post(f"{path}/invite-code").json["invite_code"] == "ANEWCODE"

    def test_a_deleted_challenge_is_not_found_by_its_code(
        self, owner: Client, stranger: Client, path: str, by_code: str
    ) -> None:
        owner.post(f"{path}/transitions", {"to": "deleted"})
        assert stranger.post(by_code).code == "not_found"
        assert owner.post(by_code).code == "not_found"

    def test_a_code_that_is_replaced_while_somebody_joins_with_it_is_not_found(
        self, owner: Client, stranger: Client, challenge: dict[str, Any], path: str, two: TwoTransactions
    ) -> None:
        """The owner edits the schedule and replaces the code; the join, which has read it before, waits for that."""
        with two.first.transaction():
            two.first.execute(
                "select pg_advisory_xact_lock(hashtextextended('schedule of ' || %s::uuid, 0))", [challenge["id"]]
            )
            join = two.begin(UUID(stranger.user["id"]), joining(challenge))
            assert join.is_alive()
            assert owner.post(f"{path}/invite-code").status == 200
        join.join()
        assert two.outcome == "not_found"
        assert owner.get(path).json["participant_count"] == 1
