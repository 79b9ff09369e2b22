"""Key rotation when a run is cut off, or two run at once: no token becomes unverifiable."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chally import aws, clock
from identity import jobs, rotation
from identity.keyring import Keyring
from identity.queries import keys as queries
from identity.rotation import PUBLISHED_AHEAD, VERIFIES_ON
from tests.support.signing_keys import PLACEHOLDER, SigningSecret, crash, is_accepted, run_keys_job, sign_token

SetClock = Callable[[datetime], None]
SECOND = timedelta(seconds=1)


class TestCrash:
    def test_a_crash_before_the_secret_is_stored_loses_nothing(
        self,
        secret: SigningSecret,
        at: SetClock,
        ends: Callable[[], dict[str, datetime | None]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        before = secret.text()
        old = secret.keyring().keys[0].kid
        with monkeypatch.context() as patch:
            patch.setattr(aws.client("secretsmanager"), "put_secret_value", crash)
            with pytest.raises(ConnectionError):
                run_keys_job(rotate=True)
        assert secret.text() == before
        assert ends()[old] is None
        assert is_accepted(sign_token(secret.keyring(), clock.now()))
        (stray,) = ends().keys() - {old}
        run_keys_job(rotate=True)
        new = secret.keyring().keys[-1].kid
        assert stray != new
        assert ends()[stray] is None  # another run may be about to store it
        at(clock.now() + jobs.ORPHANED_AFTER + timedelta(minutes=1))
        run_keys_job()
        assert ends()[stray] is not None
        assert ends()[new] is None

    def test_a_crash_after_the_secret_is_stored_loses_nothing(
        self, secret: SigningSecret, ends: Callable[[], dict[str, datetime | None]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = secret.keyring().keys[0].kid
        set_end = queries.set_end
        with monkeypatch.context() as patch:
            patch.setattr(queries, "set_end", lambda tx, kid, end: crash() if end else set_end(tx, kid, end))
            with pytest.raises(ConnectionError):
                run_keys_job(rotate=True)
        ring = secret.keyring()
        assert len(ring.keys) == 2
        assert ends()[old] is None
        assert is_accepted(sign_token(ring, clock.now()))
        run_keys_job()
        assert ends()[old] == rotation.verify_until(ring)[old]

    def test_a_crash_at_the_first_deploy_loses_nothing(
        self, secret: SigningSecret, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret.put(PLACEHOLDER)
        with monkeypatch.context() as patch:
            patch.setattr(aws.client("secretsmanager"), "put_secret_value", crash)
            with pytest.raises(ConnectionError):
                run_keys_job()
        assert secret.text() == PLACEHOLDER
        run_keys_job()
        assert is_accepted(sign_token(secret.keyring(), clock.now()))

    def test_tokens_of_a_restored_older_secret_verify(self, secret: SigningSecret, at: SetClock) -> None:
        before = secret.text()
        at(datetime.now(UTC) - PUBLISHED_AHEAD - VERIFIES_ON - SECOND)
        run_keys_job(rotate=True)
        secret.put(before)
        at(datetime.now(UTC))
        run_keys_job()
        assert is_accepted(sign_token(secret.keyring(), datetime.now(UTC)))


class TestTwoAtOnce:
    @pytest.mark.parametrize("content", [None, PLACEHOLDER])
    def test_the_loser_of_a_race_uses_the_stored_keys(
        self, secret: SigningSecret, content: str | None, monkeypatch: pytest.MonkeyPatch
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
                run_keys_job(rotate=True)
                others.append(secret.keyring())
            return put(**request)

        monkeypatch.setattr(client, "put_secret_value", interrupted)
        response = run_keys_job(rotate=True)
        stored = secret.keyring()
        other = others[1]
        assert (stored.refresh_key, stored.sealing_key) == (other.refresh_key, other.sealing_key)
        assert {key.kid for key in other.keys} <= {key.kid for key in stored.keys}
        assert response["newest"] == stored.keys[-1].kid
        assert len([key for key in stored.keys if key.signs_from > clock.now().timestamp()]) <= 1
        for ring in (before if content != PLACEHOLDER else stored, other, stored):
            assert is_accepted(sign_token(ring, clock.now()))
            for key in ring.keys:
                assert is_accepted(sign_token(ring, clock.now(), key=key))

    def test_losing_every_race_raises(self, secret: SigningSecret, monkeypatch: pytest.MonkeyPatch) -> None:
        client = aws.client("secretsmanager")
        before = secret.text()

        def refuse(**request: Any) -> Any:
            error: Any = {"Error": {"Code": "ResourceExistsException", "Message": "exists"}}
            raise client.exceptions.ResourceExistsException(error, "PutSecretValue")

        monkeypatch.setattr(client, "put_secret_value", refuse)
        with pytest.raises(RuntimeError, match="put that version's value again"):
            run_keys_job(rotate=True)
        assert secret.text() == before
