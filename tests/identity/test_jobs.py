"""Key rotation by the job, on a real database and a secret of moto: it never signs anyone out."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from aws_lambda_powertools.utilities import parameters

from chally import access_tokens, aws, clock, settings
from chally.errors import Unauthenticated
from chally.jobs import JobFailed
from chally.secrets import MAX_AGE
from identity import jobs, rotation
from identity.keyring import Keyring, SigningKey
from identity.queries import keys as queries
from identity.rotation import PUBLISHED_AHEAD, VERIFIES_ON, SecretUnreadable
from tests.support.api import Client, LambdaContext
from tests.support.database import Database
from tests.support.environment import PUBLIC_URL
from tests.support.people import SignUp

SetClock = Callable[[datetime], None]
SECOND = timedelta(seconds=1)
FILLER = "x;'{)Zf" + "4" * 25


@dataclass(frozen=True)
class Secret:
    arn: str

    def text(self) -> str:
        return aws.client("secretsmanager").get_secret_value(SecretId=self.arn)["SecretString"]

    def version(self) -> str:
        return aws.client("secretsmanager").get_secret_value(SecretId=self.arn)["VersionId"]

    def keyring(self) -> Keyring:
        return Keyring.loads(self.text())

    def put(self, text: str) -> None:
        aws.client("secretsmanager").put_secret_value(SecretId=self.arn, SecretString=text)


@pytest.fixture
def secret(cloud: None) -> Secret:
    """With the key of the tests, ten days old."""
    found = Secret(settings.load(settings.SigningKeysSettings).signing_secret_arn)
    ring = found.keyring()
    begun = (datetime.now(UTC) - timedelta(days=10)).timestamp()
    found.put(replace(ring, keys=(replace(ring.keys[0], signs_from=begun),)).dumps())
    return found


@pytest.fixture
def ends(database: Database) -> Callable[[], dict[str, datetime | None]]:
    """Until when each published key of access tokens verifies."""
    query = "select kid, verifies_until from core.signing_keys where jwk ->> 'alg' = 'RS256'"
    return lambda: dict(database.execute(query))


def run(**event: object) -> Any:
    context: Any = LambdaContext()
    return jobs.signing_keys_handler(event, context)


def token(ring: Keyring, issued_at: datetime, *, key: SigningKey | None = None) -> str:
    by = ring if key is None else Keyring((key,), ring.refresh_key, ring.sealing_key)
    return by.access_token(issuer=PUBLIC_URL, user_id=uuid4(), session_id=uuid4(), csrf=None, now=issued_at)


def accepted(token: str) -> bool:
    try:
        access_tokens.authenticate(token, issuer=PUBLIC_URL)
    except Unauthenticated:
        return False
    return True


class TestFirstDeploy:
    def test_a_placeholder_is_replaced_by_keys_that_sign_at_once(self, secret: Secret) -> None:
        secret.put(FILLER)
        response = run()
        ring = secret.keyring()
        assert response["signing"] == response["newest"] == ring.keys[0].kid
        assert accepted(token(ring, clock.now()))

    def test_a_second_run_changes_nothing(self, secret: Secret, ends: Callable[[], dict[str, datetime | None]]) -> None:
        secret.put(FILLER)
        run()
        before = secret.version(), ends()
        assert run() == run()
        assert (secret.version(), ends()) == before

    def test_a_key_is_published_before_it_is_stored(
        self, secret: Secret, ends: Callable[[], dict[str, datetime | None]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret.put(FILLER)
        client = aws.client("secretsmanager")
        put = client.put_secret_value

        def check(**request: Any) -> Any:
            assert {key.kid for key in Keyring.loads(request["SecretString"]).keys} <= ends().keys()
            return put(**request)

        monkeypatch.setattr(client, "put_secret_value", check)
        run()
        assert len(secret.keyring().keys) == 1


class TestTheSecretIsNeverLost:
    @pytest.mark.parametrize("change", [{"keys": []}, {"sealing_key": None}, {"keys": "x"}, {"refresh_key": "x"}])
    def test_an_unreadable_secret_raises_and_stays(
        self, secret: Secret, change: dict[str, Any], logs: Callable[[], str]
    ) -> None:
        damaged = json.dumps(json.loads(secret.text()) | change)
        secret.put(damaged)
        for event in ({}, {"rotate": True}):
            with pytest.raises(SecretUnreadable):
                run(**event)
        assert secret.text() == damaged
        assert "PRIVATE KEY" not in logs()

    def test_half_a_secret_is_not_replaced(self, secret: Secret) -> None:
        damaged = secret.text()[:-10]
        secret.put(damaged)
        with pytest.raises(SecretUnreadable):
            run(rotate=True)
        assert secret.text() == damaged

    def test_data_encrypted_before_a_rotation_decrypts_after_it(self, secret: Secret, at: SetClock) -> None:
        owner = uuid4()
        before = secret.keyring()
        sealed = before.seal("JBSWY3DPEHPK3PXP", owner=owner)
        now = clock.now()
        for days in (0, 91, 182, 273):
            at(now + timedelta(days=days))
            run(rotate=days == 0)
        after = secret.keyring()
        assert {key.kid for key in after.keys}.isdisjoint(key.kid for key in before.keys)
        assert after.unseal(sealed, owner=owner) == "JBSWY3DPEHPK3PXP"
        assert after.keyed_hash("code", purpose="x") == before.keyed_hash("code", purpose="x")
        assert after.child_of("token") == before.child_of("token")


class TestRotation:
    def test_the_daily_run_rotates_after_ninety_days(self, secret: Secret, at: SetClock) -> None:
        begun = datetime.fromtimestamp(secret.keyring().keys[0].signs_from, UTC)
        at(begun + rotation.ROTATE_AFTER)
        run()
        assert len(secret.keyring().keys) == 1
        at(begun + rotation.ROTATE_AFTER + SECOND)
        run()
        assert len(secret.keyring().keys) == 2

    @pytest.mark.parametrize("event", [{"rotate": False}, {"rotate": "true"}, {"source": "aws.scheduler"}])
    def test_only_an_exact_request_rotates_early(self, secret: Secret, event: dict[str, object]) -> None:
        run(**event)
        assert len(secret.keyring().keys) == 1

    def test_two_requests_rotate_once(self, secret: Secret) -> None:
        assert run(rotate=True) == run(rotate=True) == run()
        assert len(secret.keyring().keys) == 2

    @pytest.mark.parametrize(
        "ago",
        [timedelta(0), timedelta(minutes=5), PUBLISHED_AHEAD - SECOND, PUBLISHED_AHEAD + SECOND,
         PUBLISHED_AHEAD + timedelta(minutes=10), PUBLISHED_AHEAD + VERIFIES_ON - 5 * SECOND],
    )  # fmt: skip
    def test_tokens_from_before_during_and_after_a_rotation_verify(
        self, secret: Secret, at: SetClock, ago: timedelta
    ) -> None:
        """Checks now, for a rotation in the past: tokens are checked by the real clock, and keys by the database's."""
        now = datetime.now(UTC)
        before = secret.keyring()
        at(now - ago)
        run(rotate=True)
        after = secret.keyring()
        lives = timedelta(seconds=MAX_AGE)
        signed_by = set()
        for issued in (now - age * timedelta(minutes=1) for age in range(15)):
            # a function that read the secret before the rotation trusts it for five minutes
            views = ([after] if issued >= now - ago else []) + ([before] if issued < now - ago + lives else [])
            for view in views:
                signed_by.add(view.signing(issued).kid)
                assert accepted(token(view, issued))
        expected = {True: {before.keys[0].kid}, False: {after.keys[-1].kid}}
        assert signed_by >= expected[ago < PUBLISHED_AHEAD]

    def test_an_expired_key_verifies_nothing(self, secret: Secret, at: SetClock, nobody: Client) -> None:
        now = datetime.now(UTC)
        old = secret.keyring().keys[0]
        at(now - PUBLISHED_AHEAD - VERIFIES_ON - SECOND)
        run(rotate=True)
        ring = secret.keyring()
        assert not accepted(token(ring, now, key=old))
        assert accepted(token(ring, now))
        published = nobody.get("/.well-known/jwks.json").json["keys"]
        assert [key["kid"] for key in published if key["alg"] == "RS256"] == [ring.keys[-1].kid]

    def test_a_key_that_no_longer_signs_leaves_the_secret_only(
        self, secret: Secret, at: SetClock, ends: Callable[[], dict[str, datetime | None]]
    ) -> None:
        old = secret.keyring().keys[0]
        now = clock.now()
        run(rotate=True)
        new = secret.keyring().keys[-1]
        end = ends()[old.kid]
        at(now + timedelta(days=1))
        run()
        assert secret.keyring().keys == (new,)
        assert ends() == {old.kid: end, new.kid: None}
        assert old.private_key.split("\n")[1] not in secret.text()

    def test_caches_know_the_new_key_when_it_starts_to_sign(
        self, secret: Secret, at: SetClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A cache that was filled just after the rotation need not read again; one from before it has expired."""
        now = datetime.now(UTC)
        warm = token(secret.keyring(), now)
        assert accepted(warm)  # filled before
        at(now - PUBLISHED_AHEAD - SECOND)
        run(rotate=True)
        new = token(secret.keyring(), now)
        elapsed = time.monotonic() + PUBLISHED_AHEAD.total_seconds()
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: elapsed)
            assert accepted(new)
        access_tokens.key_cache.clear()
        assert accepted(warm)  # filled after
        monkeypatch.setattr(access_tokens, "public_keys", lambda: pytest.fail("asked the database"))
        assert accepted(new)

    def test_functions_sign_with_the_new_key_when_it_starts(
        self, secret: Secret, at: SetClock, person: SignUp, nobody: Client
    ) -> None:
        person("kari")
        at(datetime.now(UTC) - PUBLISHED_AHEAD - SECOND)
        run(rotate=True)
        at(datetime.now(UTC))
        old, new = secret.keyring().keys
        for expected in (old, new):
            session = nobody.post("/v1/auth/login", {"login": "kari", "password": "long enough for us"}).json
            assert jwt.get_unverified_header(session["access_token"])["kid"] == expected.kid
            assert Client(session["access_token"]).get("/v1/me").status == 200
            parameters.clear_caches()  # type: ignore[no-untyped-call]


class TestCrash:
    def test_a_crash_before_the_secret_is_stored_loses_nothing(
        self,
        secret: Secret,
        at: SetClock,
        ends: Callable[[], dict[str, datetime | None]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        before = secret.text()
        old = secret.keyring().keys[0].kid
        with monkeypatch.context() as patch:
            patch.setattr(aws.client("secretsmanager"), "put_secret_value", crash)
            with pytest.raises(ConnectionError):
                run(rotate=True)
        assert secret.text() == before
        assert ends()[old] is None
        assert accepted(token(secret.keyring(), clock.now()))
        (stray,) = ends().keys() - {old}
        run(rotate=True)
        new = secret.keyring().keys[-1].kid
        assert stray != new
        assert ends()[stray] is None  # another run may be about to store it
        at(clock.now() + jobs.ORPHANED_AFTER + timedelta(minutes=1))
        run()
        assert ends()[stray] is not None
        assert ends()[new] is None

    def test_a_crash_after_the_secret_is_stored_loses_nothing(
        self, secret: Secret, ends: Callable[[], dict[str, datetime | None]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = secret.keyring().keys[0].kid
        set_end = queries.set_end
        with monkeypatch.context() as patch:
            patch.setattr(queries, "set_end", lambda tx, kid, end: crash() if end else set_end(tx, kid, end))
            with pytest.raises(ConnectionError):
                run(rotate=True)
        ring = secret.keyring()
        assert len(ring.keys) == 2
        assert ends()[old] is None
        assert accepted(token(ring, clock.now()))
        run()
        assert ends()[old] == rotation.verify_until(ring)[old]

    def test_a_crash_at_the_first_deploy_loses_nothing(self, secret: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
        secret.put(FILLER)
        with monkeypatch.context() as patch:
            patch.setattr(aws.client("secretsmanager"), "put_secret_value", crash)
            with pytest.raises(ConnectionError):
                run()
        assert secret.text() == FILLER
        run()
        assert accepted(token(secret.keyring(), clock.now()))

    def test_tokens_of_a_restored_older_secret_verify(self, secret: Secret, at: SetClock) -> None:
        before = secret.text()
        at(datetime.now(UTC) - PUBLISHED_AHEAD - VERIFIES_ON - SECOND)
        run(rotate=True)
        secret.put(before)
        at(datetime.now(UTC))
        run()
        assert accepted(token(secret.keyring(), datetime.now(UTC)))


class TestTwoAtOnce:
    @pytest.mark.parametrize("content", [None, FILLER])
    def test_the_loser_of_a_race_uses_the_stored_keys(
        self, secret: Secret, content: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second run happens at the worst moment: the first has read the secret, and not stored its own yet."""
        before = secret.keyring()
        if content is not None:
            secret.put(content)
        client = aws.client("secretsmanager")
        put = client.put_secret_value
        others: list[Keyring] = []

        def interrupted(**request: Any) -> Any:
            if not others:
                others.append(before)
                run(rotate=True)
                others.append(secret.keyring())
            return put(**request)

        monkeypatch.setattr(client, "put_secret_value", interrupted)
        response = run(rotate=True)
        stored = secret.keyring()
        other = others[1]
        assert (stored.refresh_key, stored.sealing_key) == (other.refresh_key, other.sealing_key)
        assert {key.kid for key in other.keys} <= {key.kid for key in stored.keys}
        assert response["newest"] == stored.keys[-1].kid
        assert len([key for key in stored.keys if key.signs_from > clock.now().timestamp()]) <= 1
        for ring in (before if content != FILLER else stored, other, stored):
            assert accepted(token(ring, clock.now()))
            for key in ring.keys:
                assert accepted(token(ring, clock.now(), key=key))

    def test_losing_every_race_raises(self, secret: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
        client = aws.client("secretsmanager")
        before = secret.text()

        def refuse(**request: Any) -> Any:
            error: Any = {"Error": {"Code": "ResourceExistsException", "Message": "exists"}}
            raise client.exceptions.ResourceExistsException(error, "PutSecretValue")

        monkeypatch.setattr(client, "put_secret_value", refuse)
        with pytest.raises(RuntimeError, match="put that version's value again"):
            run(rotate=True)
        assert secret.text() == before


class TestWatched:
    def test_the_age_of_the_newest_key_is_a_metric(
        self, secret: Secret, at: SetClock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        begun = datetime.fromtimestamp(secret.keyring().keys[0].signs_from, UTC)
        at(begun + timedelta(days=45))
        run()
        (metric,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
        assert metric["SigningKeyAgeDays"] == [45.0]
        assert metric["service"]

    def test_no_private_key_is_logged_or_returned(
        self, secret: Secret, logs: Callable[[], str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        secret.put(FILLER)
        responses = [run(), run(rotate=True)]
        ring = secret.keyring()
        said = logs() + capsys.readouterr().out + str(responses)
        for private in (ring.refresh_key, ring.sealing_key, *(key.private_key.split("\n")[1] for key in ring.keys)):
            assert private not in said

    def test_what_the_runtime_prints_of_a_failure_is_redacted(
        self, secret: Secret, logs: Callable[[], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = secret.text()

        def fail(**request: Any) -> Any:
            raise ConnectionError(f"while sending {request}")

        monkeypatch.setattr(aws.client("secretsmanager"), "put_secret_value", fail)
        with pytest.raises(JobFailed) as caught:
            run(rotate=True)
        ring = Keyring.loads(text)
        for said in (str(caught.value), logs()):
            assert "while sending" in said
            for private in (ring.sealing_key, ring.refresh_key, ring.keys[0].private_key.split("\n")[1]):
                assert private not in said


def crash(*args: object, **kwargs: object) -> None:
    raise ConnectionError("the lights went out")
