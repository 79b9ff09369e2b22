"""Key rotation: every verifier knows a token's key for as long as the token lives, whichever key signs it."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import rotation
from identity.keyring import Keyring, SigningKey
from identity.rotation import PUBLISHED_AHEAD, ROTATE_AFTER, SIGNERS_KNOW_AFTER, VERIFIES_ON, SecretUnreadable
from identity.rules import ACCESS_LIFE

NOW = datetime(2027, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FRESH = timedelta(seconds=300)  # how long functions cache what they have read
KEY = "a" * 64


def ring(*signs_from: datetime) -> Keyring:
    """A keyring whose keys never sign."""
    keys = (SigningKey(f"kid{number}", "PEM", instant.timestamp()) for number, instant in enumerate(signs_from))
    return Keyring(tuple(keys), KEY, "b" * 64)


def make(number: Iterator[int], signs_from: datetime) -> SigningKey:
    """Stands in for RSA, which takes 0.1 s per key."""
    return SigningKey(f"new{next(number)}", "PEM", signs_from.timestamp())


class TestRead:
    def test_a_stored_keyring_can_be_read(self, keyring: Keyring) -> None:
        assert rotation.read(keyring.dumps()) == keyring

    def test_keys_are_sorted_oldest_first(self, keyring: Keyring) -> None:
        newer = SigningKey.make(NOW + timedelta(days=1000))
        shuffled = Keyring((newer, *keyring.keys), keyring.refresh_key, keyring.sealing_key)
        read = rotation.read(shuffled.dumps())
        assert read is not None
        assert read.keys == (*keyring.keys, newer)

    @pytest.mark.parametrize("filler", ["", "x;'{)Zf" + "4" * 25, "{" + "b" * 31])
    def test_a_placeholder_is_no_keyring(self, filler: str) -> None:
        assert rotation.read(filler) is None

    @pytest.mark.parametrize(
        "change",
        [
            {"keys": []}, {"keys": None}, {"keys": [{}]}, {"keys": ["x"]}, {"keys": 1},
            {"refresh_key": "short"}, {"refresh_key": None}, {"sealing_key": "ab"}, {"sealing_key": "z" * 64},
        ],
    )  # fmt: skip
    def test_a_damaged_keyring_is_refused(self, keyring: Keyring, change: dict[str, object]) -> None:
        stored = json.loads(keyring.dumps()) | change
        with pytest.raises(SecretUnreadable):
            rotation.read(json.dumps(stored))

    @pytest.mark.parametrize(
        "text", ["{}", "[]", "null", "1", '"private_key"', '{"private_key": 1}', "x" * 31, "x" * 33]
    )
    def test_other_json_and_text_is_refused(self, text: str) -> None:
        with pytest.raises(SecretUnreadable):
            rotation.read(text)

    def test_half_a_keyring_or_a_broken_key_is_refused(self, keyring: Keyring) -> None:
        text = keyring.dumps()
        for broken in (text[:-1], text[:40], text.replace("BEGIN", "BEGUN"), text.replace("signs_from", "from")):
            with pytest.raises(SecretUnreadable) as caught:
                rotation.read(broken)
            assert keyring.sealing_key not in str(caught.value)
            assert caught.value.__cause__ is None


class TestPlan:
    def test_the_first_key_signs_at_once(self) -> None:
        made = rotation.plan(None, NOW)
        assert [key.signs_from for key in made.keys] == [NOW.timestamp()]

    @pytest.mark.parametrize(("age", "due"), [(timedelta(0), 1), (ROTATE_AFTER, 1), (ROTATE_AFTER + SECOND, 2)])
    def test_a_key_is_due_after_ninety_days(self, age: timedelta, due: int) -> None:
        stored = ring(NOW - age)
        planned = rotation.plan(stored, NOW)
        assert len(planned.keys) == due
        assert planned.signing(NOW) == stored.keys[0]

    def test_a_request_rotates_now_and_once(self) -> None:
        rotated = rotation.plan(ring(NOW - SECOND), NOW, by_hand=True)
        assert len(rotated.keys) == 2
        assert rotated.signing(NOW + PUBLISHED_AHEAD - SECOND) == rotated.keys[0]
        assert rotated.signing(NOW + PUBLISHED_AHEAD) == rotated.keys[1]
        for later in (NOW, NOW + PUBLISHED_AHEAD - SECOND):
            assert rotation.plan(rotated, later, by_hand=True) == rotated

    def test_the_other_keys_are_never_rotated(self) -> None:
        stored = ring(NOW - timedelta(days=400))
        rotated = rotation.plan(stored, NOW, by_hand=True)
        assert (rotated.refresh_key, rotated.sealing_key) == (stored.refresh_key, stored.sealing_key)

    def test_a_private_key_is_dropped_when_nobody_signs_with_it(self) -> None:
        stored = ring(NOW - timedelta(days=90), NOW)
        assert rotation.plan(stored, NOW + SIGNERS_KNOW_AFTER - SECOND) == stored
        assert rotation.plan(stored, NOW + SIGNERS_KNOW_AFTER).keys == stored.keys[1:]

    def test_a_key_verifies_until_its_last_token_has_expired(self) -> None:
        ends = rotation.verify_until(ring(NOW - timedelta(days=90), NOW))
        assert ends == {"kid0": NOW + VERIFIES_ON, "kid1": None}
        assert timedelta(minutes=20) < VERIFIES_ON < timedelta(minutes=30)

    def test_the_age_is_that_of_the_newest_key(self) -> None:
        assert rotation.age_days(ring(NOW - timedelta(days=101, hours=12)), NOW) == 101.5
        assert rotation.age_days(ring(NOW - timedelta(days=101), NOW + PUBLISHED_AHEAD), NOW) == 0


@dataclass
class World:
    """The content of Secrets Manager and of the database at every instant, as runs of the job leave it."""

    secrets: list[tuple[datetime, Keyring]] = field(default_factory=list)
    published: dict[str, datetime] = field(default_factory=dict)
    ends: dict[str, datetime | None] = field(default_factory=dict)

    def run(self, now: datetime, *, by_hand: bool, stops: str) -> None:
        stored = self.secrets[-1][1] if self.secrets else None
        planned = rotation.plan(stored, now, by_hand=by_hand)
        for key in planned.keys:
            self.published.setdefault(key.kid, now)
        if stored:
            self.ends |= rotation.verify_until(stored)
        if stops == "published":
            return
        self.secrets.append((now, planned))
        if stops == "stored":
            return
        self.ends |= rotation.verify_until(planned)

    def signing_at(self, now: datetime) -> set[str]:
        """Every key that some function may sign with: its copy of the secret may be five minutes old."""
        known = [ring for at, ring in self.secrets if now - FRESH < at <= now]
        before = [ring for at, ring in self.secrets if at <= now - FRESH]
        return {ring.signing(now).kid for ring in known + before[-1:]}

    def verifies(self, kid: str, now: datetime) -> bool:
        """Whether even a verifier with a full cache knows the key: it was there at the last read, and still is."""
        end = self.ends.get(kid)
        first = kid == self.secrets[0][1].keys[0].kid
        return (first or self.published[kid] <= now - FRESH) and (end is None or end > now)


waits = st.sampled_from([0, 1, 60, 299, 300, 301, 840, 899, 900, 901, 1199, 1200, 1201, 86_400, 90 * 86_400])


@settings(deadline=None)
@given(
    st.lists(st.tuples(waits, st.booleans(), st.sampled_from(["", "", "published", "stored"])), min_size=1, max_size=12)
)
def test_every_token_verifies_for_as_long_as_it_lives(runs: list[tuple[int, bool, str]]) -> None:
    number = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SigningKey, "make", lambda signs_from: make(number, signs_from))
        world = World()
        now = NOW
        world.run(now, by_hand=False, stops="")
        instants: set[datetime] = set()
        for wait, by_hand, stops in runs:
            now += timedelta(seconds=wait)
            world.run(now, by_hand=by_hand, stops=stops)
            # everything that changes does so at one of these instants, or a moment later
            instants |= {now + each + more for each in (FRESH, PUBLISHED_AHEAD) for more in (-SECOND, SECOND)}
            instants |= {now, now + PUBLISHED_AHEAD + FRESH}
        for at in sorted(instants):
            for kid in world.signing_at(at):
                for age in (timedelta(0), FRESH, ACCESS_LIFE - SECOND, ACCESS_LIFE):
                    assert world.verifies(kid, at + age), (kid, at - NOW, age)
        # in any case, a complete run leaves one key that signs, and an end for every other one
        now += timedelta(days=1)
        world.run(now, by_hand=False, stops="")
        kept = world.secrets[-1][1]
        assert {kid for kid in (key.kid for key in kept.keys[:-1]) if world.ends[kid] is None} == set()
