"""Overlay tokens: they cannot be forged, and are not issued before the window opens."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import boto3
import pytest
from aws_lambda_powertools.utilities import parameters

from challenges import overlay, overlay_key
from chally import clock, db
from chally.errors import ServiceUnavailable
from tests.support.api import Client
from tests.support.challenges import ChallengeJson, challenge_body

KEY, OTHER_KEY = b"the key of the system", b"a key of somebody else"
ANA = UUID("01a1fa30-0000-7000-8000-00000000000a")
DAY = date(2026, 11, 20)
TOKEN = overlay.issue(KEY, ANA, DAY)


def check(text: str, *keys: bytes, participant: UUID = ANA, day: date = DAY) -> overlay.OverlayResult:
    return overlay.check(text, keys or (KEY,), participant, day)


class TestTokens:
    def test_a_token_is_valid_only_for_its_window(self) -> None:
        assert check(TOKEN) == "valid"
        assert check(TOKEN, participant=uuid4()) == "other_participant"
        assert check(TOKEN, day=DAY + timedelta(days=1)) == "other_window"
        assert check(TOKEN, day=DAY - timedelta(days=1)) == "other_window"

    @pytest.mark.parametrize("day", [date.min, DAY, date.max])
    def test_a_token_fits_an_alphanumeric_qr_code(self, day: date) -> None:
        token = overlay.issue(KEY, ANA, day)
        assert len(token) == 64
        assert set(token) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
        assert check(token, day=day) == "valid"

    def test_a_token_is_valid_only_with_its_key(self) -> None:
        assert check(TOKEN, OTHER_KEY) == "forged"
        assert check(overlay.issue(OTHER_KEY, ANA, DAY)) == "forged"
        assert overlay.check(TOKEN, [], ANA, DAY) == "forged"

    def test_a_token_signed_by_any_of_the_keys_is_valid(self) -> None:
        assert check(TOKEN, OTHER_KEY, KEY) == "valid"

    def test_an_empty_key_is_refused(self) -> None:
        with pytest.raises(ValueError, match="empty"):
            overlay.issue(b"", ANA, DAY)

    def test_no_altered_token_is_valid(self) -> None:
        """Each character replaced, left out or doubled, and variants that a lenient decoder would accept."""
        for place in range(len(TOKEN)):
            for exchanged in "A7" if TOKEN[place] not in "A7" else "Z2":
                assert check(TOKEN[:place] + exchanged + TOKEN[place + 1 :]) in ("forged", "foreign")
            assert check(TOKEN[:place] + TOKEN[place + 1 :]) in ("forged", "foreign")
            assert check(TOKEN[:place]) in ("forged", "foreign")
            assert check(TOKEN[: place + 1] + TOKEN[place:]) in ("forged", "foreign")
        for odd in (
            TOKEN.lower(),
            f" {TOKEN}",
            f"{TOKEN}\n",
            f"{TOKEN}========",
            f"{TOKEN}=",
            TOKEN.replace("A", "\uff21"),
        ):
            assert check(odd) in ("forged", "foreign"), odd

    @pytest.mark.parametrize("text", ["", "CHALLY", "CHALLY2:AAAA", "https://chally.example/ABCDEFGH", "\0", "é"])
    def test_text_without_our_prefix_is_foreign(self, text: str) -> None:
        assert check(text) == "foreign"

    @pytest.mark.parametrize("rest", ["", "=", "A", "AAAAAAAA", "é" * 56, "A" * 4000])
    def test_text_with_our_prefix_but_no_valid_signature_is_forged(self, rest: str) -> None:
        assert check(overlay.PREFIX + rest) == "forged"


@pytest.fixture
def shown(make: Callable[..., ChallengeJson]) -> ChallengeJson:
    """A challenge whose rules require an overlay."""
    return make(rules=challenge_body(clock.now())["rules"] | {"anti_cheat": {"overlay": True}})


def current(who: Client, challenge: dict[str, Any]) -> dict[str, Any]:
    answer = who.get(f"/v1/challenges/{challenge['id']}/windows/current")
    assert answer.status == 200, answer.text
    return dict(answer.json)


class TestHandedOut:
    def test_the_current_window_has_an_overlay_while_it_is_open(self, owner: Client, shown: ChallengeJson) -> None:
        window = current(owner, shown)
        given = window["overlay"]
        key = overlay_key.cached(secret())
        participant = UUID(owner.get(f"/v1/challenges/{shown['id']}/participants").json["items"][0]["participant_id"])
        assert check(given["token"], key, participant=participant, day=date.fromisoformat(window["local_date"])) == (
            "valid"
        )
        assert ET.fromstring(given["qr"]).tag == "{http://www.w3.org/2000/svg}svg"
        assert current(owner, shown) == window

    def test_the_overlay_is_null_before_the_window_opens(
        self, owner: Client, make: Callable[..., ChallengeJson], shown: ChallengeJson, at: Callable[[datetime], None]
    ) -> None:
        starts_at = clock.now() + timedelta(hours=3)
        early = make(rules=shown["rules"], starts_at=starts_at.isoformat())
        window = current(owner, early)
        assert (window["state"], window["overlay"]) == ("upcoming", None)
        at(datetime.fromisoformat(window["opens_at"]) - timedelta(microseconds=1))
        assert current(owner, early)["overlay"] is None
        at(datetime.fromisoformat(window["opens_at"]))
        assert current(owner, early)["overlay"]["token"].startswith("CHALLY1:")

    def test_each_window_has_a_different_overlay(
        self, owner: Client, shown: ChallengeJson, at: Callable[[datetime], None]
    ) -> None:
        today = current(owner, shown)["overlay"]
        at(clock.now() + timedelta(days=1))
        assert current(owner, shown)["overlay"]["token"] != today["token"]

    def test_each_participant_has_a_different_overlay(
        self, owner: Client, stranger: Client, shown: ChallengeJson
    ) -> None:
        assert stranger.get(f"/v1/challenges/{shown['id']}/windows/current").status == 404
        assert stranger.post(f"/v1/challenges/{shown['invite_code']}/join").status == 201
        assert current(stranger, shown)["overlay"]["token"] != current(owner, shown)["overlay"]["token"]

    def test_the_overlay_is_null_while_the_challenge_is_paused(self, owner: Client, shown: ChallengeJson) -> None:
        assert owner.post(f"/v1/challenges/{shown['id']}/transitions", {"to": "paused"}).status == 200
        assert current(owner, shown)["overlay"] is None

    def test_the_overlay_is_null_if_the_rules_require_none(
        self, owner: Client, challenge: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(overlay_key, "cached")  # the key must not even be fetched
        assert current(owner, challenge)["overlay"] is None

    def test_lists_of_windows_contain_no_overlay(self, owner: Client, shown: ChallengeJson) -> None:
        window = current(owner, shown)
        dates = {"from": window["local_date"], "to": window["local_date"]}
        (listed,) = owner.get(f"/v1/challenges/{shown['id']}/windows", **dates).json["items"]
        assert "overlay" not in listed
        assert listed == {name: value for name, value in window.items() if name != "overlay"}

    def test_the_key_is_fetched_outside_transactions(
        self, owner: Client, shown: ChallengeJson, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[set[str]] = []

        def watch(_: str) -> bytes:
            seen.append(set(db._open))
            return KEY

        monkeypatch.setattr(overlay_key, "cached", watch)
        current(owner, shown)
        assert seen == [set()]

    def test_a_missing_secret_is_a_503(
        self, owner: Client, shown: ChallengeJson, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> str:
            raise parameters.exceptions.GetParameterError("no answer")

        monkeypatch.setattr(parameters, "get_secret", fail)
        answer = owner.get(f"/v1/challenges/{shown['id']}/windows/current")
        assert (answer.status, answer.code) == (503, "unavailable")


def secret() -> str:
    return str(boto3.client("secretsmanager").describe_secret(SecretId="overlay")["ARN"])


@pytest.mark.usefixtures("cloud")
class TestKeys:
    @pytest.fixture(autouse=True)
    def _fresh(self) -> Iterator[None]:
        parameters.clear_caches()  # type: ignore[no-untyped-call]
        yield
        parameters.clear_caches()  # type: ignore[no-untyped-call]

    def test_the_key_is_cached(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first = overlay_key.cached(secret())
        boto3.client("secretsmanager").put_secret_value(SecretId="overlay", SecretString="the next one")
        assert overlay_key.cached(secret()) == first

    def test_fetching_returns_the_current_and_the_previous_key(self) -> None:
        first = overlay_key.cached(secret())
        assert overlay_key.fetch_all(secret()) == [first]
        boto3.client("secretsmanager").put_secret_value(SecretId="overlay", SecretString="the next one")
        assert overlay_key.fetch_all(secret()) == [b"the next one", first]

    def test_a_missing_secret_raises(self) -> None:
        with pytest.raises(ServiceUnavailable):
            overlay_key.cached("arn:aws:secretsmanager:us-east-1:000000000000:secret:gone-abc")
        with pytest.raises(boto3.client("secretsmanager").exceptions.ResourceNotFoundException):
            overlay_key.fetch_all("arn:aws:secretsmanager:us-east-1:000000000000:secret:gone-abc")
