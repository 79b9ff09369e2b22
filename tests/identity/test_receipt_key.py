"""The key of receipts, as the job creates and rotates it: old receipts stay verifiable."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from chally import access_tokens, aws, clock, settings
from identity import jobs, rotation
from identity.keyring import Keyring
from identity.receipt_key import ReceiptKey
from identity.rotation import ORDERED_ONCE, SecretUnreadable
from tests.support.api import Client, LambdaContext
from tests.support.database import Database

SetClock = Callable[[datetime], None]
NOW = datetime(2027, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FILLER = "x;'{)Zf" + "4" * 25


def arn() -> str:
    return str(settings.load(settings.SigningKeysSettings).receipt_secret_arn)


def text() -> str:
    return aws.client("secretsmanager").get_secret_value(SecretId=arn())["SecretString"]


def put(text: str) -> None:
    aws.client("secretsmanager").put_secret_value(SecretId=arn(), SecretString=text)


def run(**event: object) -> dict[str, str]:
    context: Any = LambdaContext()
    return jobs.signing_keys_handler(event, context)


def published() -> dict[str, dict[str, Any]]:
    keys = Client().get("/.well-known/jwks.json").json["keys"]
    return {key["kid"]: key for key in keys if key["alg"] == "ES256"}


@pytest.mark.usefixtures("cloud")
class TestJob:
    @pytest.mark.parametrize("filler", [FILLER, "{" + "b" * 31])
    def test_a_placeholder_is_replaced_by_a_published_key(self, filler: str) -> None:
        put(filler)
        response = run()
        key = ReceiptKey.loads(text())
        assert response["receipts"] == key.kid
        jwk = published()[key.kid]
        assert jwk.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}  # nothing private
        assert (jwk["kty"], jwk["crv"], jwk["use"]) == ("EC", "P-256", "sig")
        signed = key.sign(b"{}", typ="t")
        assert jwt.decode(signed, jwt.PyJWK(jwk), algorithms=["ES256"]) == {}

    def test_a_second_run_changes_nothing(self) -> None:
        before = text(), published()
        assert run() == run()
        assert run(rotate=True)["receipts"] in published()
        assert (text(), published()) == before

    def test_the_key_never_rotates_by_itself(self, at: SetClock) -> None:
        before = text()
        at(clock.now() + timedelta(days=4000))
        run()
        assert text() == before

    def test_two_requests_rotate_once_and_the_former_key_stays_published(
        self, database: Database, at: SetClock
    ) -> None:
        (former,) = published()
        new = run(rotate_receipts=True)["receipts"]
        assert run(rotate_receipts=True)["receipts"] == new
        at(clock.now() + timedelta(days=4000))
        database.execute("update core.signing_keys set created_at = created_at - interval '11 years'")
        run()
        assert published().keys() == {former, new}

    @pytest.mark.parametrize("event", [{"rotate": True}, {"rotate_receipts": "true"}, {"rotate_receipts": 1}])
    def test_only_an_exact_request_rotates_the_key(self, event: dict[str, object]) -> None:
        before = text()
        run(**event)
        assert text() == before

    def test_the_key_is_published_before_it_is_stored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = aws.client("secretsmanager")
        store = client.put_secret_value

        def check(**request: Any) -> Any:
            assert ReceiptKey.loads(request["SecretString"]).kid in published()
            return store(**request)

        monkeypatch.setattr(client, "put_secret_value", check)
        run(rotate_receipts=True)
        assert len(published()) == 2

    def test_the_loser_of_a_race_uses_the_winners_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = aws.client("secretsmanager")
        store, others = client.put_secret_value, []

        def first(**request: Any) -> Any:
            monkeypatch.setattr(client, "put_secret_value", store)
            others.append(run(rotate_receipts=True)["receipts"])
            return store(**request)

        monkeypatch.setattr(client, "put_secret_value", first)
        assert [run(rotate_receipts=True)["receipts"]] == others
        assert ReceiptKey.loads(text()).kid == others[0]

    @pytest.mark.parametrize("damage", [lambda text: text[:-10], lambda text: "{}", lambda text: text[:40]])
    def test_an_unreadable_secret_is_left_unchanged(
        self, damage: Callable[[str], str], logs: Callable[[], str]
    ) -> None:
        damaged = damage(text())
        put(damaged)
        for event in ({}, {"rotate_receipts": True}):
            with pytest.raises(SecretUnreadable):
                run(**event)
        assert text() == damaged
        assert "PRIVATE KEY" not in logs()

    def test_nothing_private_is_logged_or_returned(
        self, logs: Callable[[], str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        put(FILLER)
        response = run()
        said = logs() + capsys.readouterr().out + str(response)
        assert ReceiptKey.loads(text()).private_key.split("\n")[1] not in said

    def test_the_receipt_key_verifies_no_access_token(self) -> None:
        run(rotate_receipts=True)
        access_tokens.key_cache.clear()
        assert [access_tokens.key_cache.find(kid) for kid in published()] == [None, None]


class TestPlan:
    def test_a_request_replaces_the_key(self, receipt_key: ReceiptKey) -> None:
        made = replace(receipt_key, made_at=NOW.timestamp())
        assert rotation.plan_receipt_key(made, NOW + timedelta(days=4000)) == made
        assert rotation.plan_receipt_key(made, NOW + ORDERED_ONCE - SECOND, by_hand=True) == made
        assert rotation.plan_receipt_key(made, NOW + ORDERED_ONCE, by_hand=True).kid != made.kid

    def test_an_empty_secret_gets_a_key(self) -> None:
        made = rotation.plan_receipt_key(None, NOW)
        assert made.kid.startswith("receipt-")
        assert rotation.read_receipt_key(made.dumps()) == made

    def test_the_secret_of_the_other_kind_is_refused(self, keyring: Keyring, receipt_key: ReceiptKey) -> None:
        rsa = replace(receipt_key, private_key=keyring.keys[0].private_key)
        private = load_pem_private_key(receipt_key.private_key.encode(), None)
        pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        public = replace(receipt_key, private_key=pem.decode())
        for wrong in (
            keyring.dumps(),
            rsa.dumps(),
            public.dumps(),
            "[]",
            "null",
            "x" * 31,
            json.dumps(asdict(receipt_key) | {"x": 1}),
        ):
            with pytest.raises(SecretUnreadable) as caught:
                rotation.read_receipt_key(wrong)
            assert caught.value.__cause__ is None
        with pytest.raises(SecretUnreadable):
            rotation.read(receipt_key.dumps())
