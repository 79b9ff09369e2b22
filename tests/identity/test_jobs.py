"""Key rotation by the job, on a real database and a secret of moto: it never signs anyone out."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from aws_lambda_powertools.utilities import parameters

from chally import access_tokens, aws, clock
from chally.jobs import JobFailed
from chally.secrets import MAX_AGE
from identity import rotation
from identity.keyring import Keyring
from identity.rotation import PUBLISHED_AHEAD, VERIFIES_ON, SecretUnreadable
from tests.support.api import Client
from tests.support.people import SignUp
from tests.support.signing_keys import PLACEHOLDER, SigningSecret, is_accepted, run_keys_job, sign_token

SetClock = Callable[[datetime], None]
SECOND = timedelta(seconds=1)


class TestFirstDeploy:
    def test_a_placeholder_is_replaced_by_keys_that_sign_at_once(self, secret: SigningSecret) -> None:
        secret.put(PLACEHOLDER)
        response = run_keys_job()
        ring = secret.keyring()
        assert response["signing"] == response["newest"] == ring.keys[0].kid
        assert is_accepted(sign_token(ring, clock.now()))

    def test_a_second_run_changes_nothing(
        self, secret: SigningSecret, ends: Callable[[], dict[str, datetime | None]]
    ) -> None:
        secret.put(PLACEHOLDER)
        run_keys_job()
        before = secret.version(), ends()
        assert run_keys_job() == run_keys_job()
        assert (secret.version(), ends()) == before

    def test_a_key_is_published_before_it_is_stored(
        self, secret: SigningSecret, ends: Callable[[], dict[str, datetime | None]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret.put(PLACEHOLDER)
        client = aws.client("secretsmanager")
        put = client.put_secret_value

        def check(**request: Any) -> Any:
            assert {key.kid for key in Keyring.loads(request["SecretString"]).keys} <= ends().keys()
            return put(**request)

        monkeypatch.setattr(client, "put_secret_value", check)
        run_keys_job()
        assert len(secret.keyring().keys) == 1


class TestTheSecretIsNeverLost:
    @pytest.mark.parametrize("change", [{"keys": []}, {"sealing_key": None}, {"keys": "x"}, {"refresh_key": "x"}])
    def test_an_unreadable_secret_raises_and_stays(
        self, secret: SigningSecret, change: dict[str, Any], logs: Callable[[], str]
    ) -> None:
        damaged = json.dumps(json.loads(secret.text()) | change)
        secret.put(damaged)
        for event in ({}, {"rotate": True}):
            with pytest.raises(SecretUnreadable):
                run_keys_job(**event)
        assert secret.text() == damaged
        assert "PRIVATE KEY" not in logs()

    def test_half_a_secret_is_not_replaced(self, secret: SigningSecret) -> None:
        damaged = secret.text()[:-10]
        secret.put(damaged)
        with pytest.raises(SecretUnreadable):
            run_keys_job(rotate=True)
        assert secret.text() == damaged

    def test_data_encrypted_before_a_rotation_decrypts_after_it(self, secret: SigningSecret, at: SetClock) -> None:
        owner = uuid4()
        before = secret.keyring()
        sealed = before.seal("JBSWY3DPEHPK3PXP", owner=owner)
        now = clock.now()
        for days in (0, 91, 182, 273):
            at(now + timedelta(days=days))
            run_keys_job(rotate=days == 0)
        after = secret.keyring()
        assert {key.kid for key in after.keys}.isdisjoint(key.kid for key in before.keys)
        assert after.unseal(sealed, owner=owner) == "JBSWY3DPEHPK3PXP"
        assert after.keyed_hash("code", purpose="x") == before.keyed_hash("code", purpose="x")
        assert after.child_of("token") == before.child_of("token")


class TestRotation:
    def test_the_daily_run_rotates_after_ninety_days(self, secret: SigningSecret, at: SetClock) -> None:
        begun = datetime.fromtimestamp(secret.keyring().keys[0].signs_from, UTC)
        at(begun + rotation.ROTATE_AFTER)
        run_keys_job()
        assert len(secret.keyring().keys) == 1
        at(begun + rotation.ROTATE_AFTER + SECOND)
        run_keys_job()
        assert len(secret.keyring().keys) == 2

    @pytest.mark.parametrize("event", [{"rotate": False}, {"rotate": "true"}, {"source": "aws.scheduler"}])
    def test_only_an_exact_request_rotates_early(self, secret: SigningSecret, event: dict[str, object]) -> None:
        run_keys_job(**event)
        assert len(secret.keyring().keys) == 1

    def test_two_requests_rotate_once(self, secret: SigningSecret) -> None:
        assert run_keys_job(rotate=True) == run_keys_job(rotate=True) == run_keys_job()
        assert len(secret.keyring().keys) == 2

    @pytest.mark.parametrize(
        "ago",
        [timedelta(0), timedelta(minutes=5), PUBLISHED_AHEAD - SECOND, PUBLISHED_AHEAD + SECOND,
         PUBLISHED_AHEAD + timedelta(minutes=10), PUBLISHED_AHEAD + VERIFIES_ON - 5 * SECOND],
    )  # fmt: skip
    def test_tokens_from_before_during_and_after_a_rotation_verify(
        self, secret: SigningSecret, at: SetClock, ago: timedelta
    ) -> None:
        """Checks now, for a rotation in the past: tokens are checked by the real clock, and keys by the database's."""
        now = datetime.now(UTC)
        before = secret.keyring()
        at(now - ago)
        run_keys_job(rotate=True)
        after = secret.keyring()
        lives = timedelta(seconds=MAX_AGE)
        signed_by = set()
        for issued in (now - age * timedelta(minutes=1) for age in range(15)):
            # a function that read the secret before the rotation trusts it for five minutes
            views = ([after] if issued >= now - ago else []) + ([before] if issued < now - ago + lives else [])
            for view in views:
                signed_by.add(view.signing(issued).kid)
                assert is_accepted(sign_token(view, issued))
        expected = {True: {before.keys[0].kid}, False: {after.keys[-1].kid}}
        assert signed_by >= expected[ago < PUBLISHED_AHEAD]

    def test_an_expired_key_verifies_nothing(self, secret: SigningSecret, at: SetClock, nobody: Client) -> None:
        now = datetime.now(UTC)
        old = secret.keyring().keys[0]
        at(now - PUBLISHED_AHEAD - VERIFIES_ON - SECOND)
        run_keys_job(rotate=True)
        ring = secret.keyring()
        assert not is_accepted(sign_token(ring, now, key=old))
        assert is_accepted(sign_token(ring, now))
        published = nobody.get("/.well-known/jwks.json").json["keys"]
        assert [key["kid"] for key in published if key["alg"] == "RS256"] == [ring.keys[-1].kid]

    def test_a_key_that_no_longer_signs_leaves_the_secret_only(
        self, secret: SigningSecret, at: SetClock, ends: Callable[[], dict[str, datetime | None]]
    ) -> None:
        old = secret.keyring().keys[0]
        now = clock.now()
        run_keys_job(rotate=True)
        new = secret.keyring().keys[-1]
        end = ends()[old.kid]
        at(now + timedelta(days=1))
        run_keys_job()
        assert secret.keyring().keys == (new,)
        assert ends() == {old.kid: end, new.kid: None}
        assert old.private_key.split("\n")[1] not in secret.text()

    def test_caches_know_the_new_key_when_it_starts_to_sign(
        self, secret: SigningSecret, at: SetClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A cache that was filled just after the rotation need not read again; one from before it has expired."""
        now = datetime.now(UTC)
        warm = sign_token(secret.keyring(), now)
        assert is_accepted(warm)  # filled before
        at(now - PUBLISHED_AHEAD - SECOND)
        run_keys_job(rotate=True)
        new = sign_token(secret.keyring(), now)
        elapsed = time.monotonic() + PUBLISHED_AHEAD.total_seconds()
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: elapsed)
            assert is_accepted(new)
        access_tokens.key_cache.clear()
        assert is_accepted(warm)  # filled after
        monkeypatch.setattr(access_tokens, "public_keys", lambda: pytest.fail("asked the database"))
        assert is_accepted(new)

    def test_functions_sign_with_the_new_key_when_it_starts(
        self, secret: SigningSecret, at: SetClock, person: SignUp, nobody: Client
    ) -> None:
        person("kari")
        at(datetime.now(UTC) - PUBLISHED_AHEAD - SECOND)
        run_keys_job(rotate=True)
        at(datetime.now(UTC))
        old, new = secret.keyring().keys
        for expected in (old, new):
            session = nobody.post("/v1/auth/login", {"login": "kari", "password": "long enough for us"}).json
            assert jwt.get_unverified_header(session["access_token"])["kid"] == expected.kid
            assert Client(session["access_token"]).get("/v1/me").status == 200
            parameters.clear_caches()  # type: ignore[no-untyped-call]


class TestWatched:
    def test_the_age_of_the_newest_key_is_a_metric(
        self, secret: SigningSecret, at: SetClock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        begun = datetime.fromtimestamp(secret.keyring().keys[0].signs_from, UTC)
        at(begun + timedelta(days=45))
        run_keys_job()
        (metric,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
        assert metric["SigningKeyAgeDays"] == [45.0]
        assert metric["service"]

    def test_no_private_key_is_logged_or_returned(
        self, secret: SigningSecret, logs: Callable[[], str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        secret.put(PLACEHOLDER)
        responses = [run_keys_job(), run_keys_job(rotate=True)]
        ring = secret.keyring()
        said = logs() + capsys.readouterr().out + str(responses)
        for private in (ring.refresh_key, ring.sealing_key, *(key.private_key.split("\n")[1] for key in ring.keys)):
            assert private not in said

    def test_what_the_runtime_prints_of_a_failure_is_redacted(
        self, secret: SigningSecret, logs: Callable[[], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = secret.text()

        def fail(**request: Any) -> Any:
            raise ConnectionError(f"while sending {request}")

        monkeypatch.setattr(aws.client("secretsmanager"), "put_secret_value", fail)
        with pytest.raises(JobFailed) as caught:
            run_keys_job(rotate=True)
        ring = Keyring.loads(text)
        for said in (str(caught.value), logs()):
            assert "while sending" in said
            for private in (ring.sealing_key, ring.refresh_key, ring.keys[0].private_key.split("\n")[1]):
                assert private not in said
