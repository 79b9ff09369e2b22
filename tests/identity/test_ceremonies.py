"""WebAuthn's ceremonies against malformed and random responses."""

import json
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import ceremonies
from identity.ceremonies import AssertionResponse, AttestationResponse, RelyingParty
from identity.rules import PasskeyInvalid, PasskeyRefused
from tests.support.api import Client
from tests.support.authenticator import Authenticator, data, text
from tests.support.people import SignUp

PARTY = RelyingParty("api.test", "Chally", ("https://api.test",))
TEXT = st.text('Az09-_=+/{["\0\u00fc\u2028\U0001f600', max_size=20)  # few letters: all of Unicode takes seconds
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
AUTHENTICATOR = Authenticator()
OWNER = UUID(int=7)
CHALLENGE = b"c" * 32
ATTESTATION = AUTHENTICATOR.create(
    ceremonies.creation_options(PARTY, challenge=CHALLENGE, user_id=OWNER, username="kari", known=[])
)
ASSERTION = AUTHENTICATOR.get(ceremonies.request_options(PARTY, challenge=CHALLENGE))
PUBLIC_KEY = ceremonies.check_attestation(AttestationResponse.read(ATTESTATION), PARTY).public_key


def check(assertion: dict[str, Any]) -> ceremonies.VerifiedCredential:
    return ceremonies.check_assertion(AssertionResponse.read(assertion), PARTY, public_key=PUBLIC_KEY, user_id=OWNER)


def attest(attestation: dict[str, Any]) -> ceremonies.VerifiedCredential:
    return ceremonies.check_attestation(AttestationResponse.read(attestation), PARTY)


class TestMalformed:
    """Any input is refused, and never causes an internal error."""

    @pytest.mark.parametrize(
        "sent",
        [
            {},
            {"response": []},
            ASSERTION | {"id": "x"},
            ASSERTION | {"type": "password"},
            ASSERTION | {"rawId": "A" * 2000, "id": "A" * 2000},
            ASSERTION | {"response": ASSERTION["response"] | {"clientDataJSON": text(b"[" * 3000)}},
            ASSERTION | {"response": ASSERTION["response"] | {"clientDataJSON": text(b'{"challenge": 7}')}},
            ASSERTION | {"response": ASSERTION["response"] | {"clientDataJSON": "A" * 10_000}},
            ASSERTION | {"response": ASSERTION["response"] | {"authenticatorData": text(b"short")}},
            ASSERTION | {"response": ASSERTION["response"] | {"signature": "\u00fc"}},
            ASSERTION | {"response": {k: v for k, v in ASSERTION["response"].items() if k != "userHandle"}},
        ],
    )
    def test_malformed_responses_are_refused_over_http(
        self, nobody: Client, person: SignUp, sent: dict[str, Any]
    ) -> None:
        refused = nobody.post("/v1/auth/passkey", {"assertion": sent})
        assert (refused.status, refused.code) == (401, "passkey_invalid"), refused.text
        refused = person("kari").post("/v1/me/passkeys", {"name": "x", "attestation": sent})
        assert (refused.status, refused.code) == (422, "passkey_invalid"), refused.text

    @pytest.mark.parametrize("sent", [None, [], "text", 7])
    def test_values_that_are_no_objects_are_refused(self, nobody: Client, sent: object) -> None:
        assert nobody.post("/v1/auth/passkey", {"assertion": sent}).code == "invalid"

    @given(st.dictionaries(st.sampled_from(["id", "rawId", "type", "response", "x"]), JSON))
    def test_any_json_is_refused(self, sent: dict[str, Any]) -> None:
        with pytest.raises(PasskeyInvalid):
            AssertionResponse.read(sent)
        with pytest.raises(PasskeyRefused):
            AttestationResponse.read(sent)

    @given(st.sampled_from(["clientDataJSON", "authenticatorData", "signature", "userHandle"]), JSON | st.binary())
    def test_any_member_of_an_assertion_may_be_malformed(self, name: str, value: Any) -> None:
        value = text(value) if isinstance(value, bytes) else value
        with pytest.raises(PasskeyInvalid):
            check(ASSERTION | {"response": ASSERTION["response"] | {name: value}})

    @given(st.sampled_from(["type", "challenge", "origin", "crossOrigin", "tokenBinding"]), JSON)
    def test_any_member_of_the_client_data_may_be_malformed(self, name: str, value: Any) -> None:
        """As if signed: an attestation without a statement signs nothing, so only our checks decide."""
        client_data = json.loads(data(ATTESTATION["response"]["clientDataJSON"])) | {name: value}
        sent = ATTESTATION["response"] | {"clientDataJSON": text(json.dumps(client_data).encode())}
        try:
            attest(ATTESTATION | {"response": sent})
        except PasskeyRefused:
            return
        assert (client_data["type"], client_data["origin"]) == ("webauthn.create", "https://api.test")
        assert client_data["crossOrigin"] is False

    @given(st.binary(max_size=400))
    def test_any_attestation_object_is_refused(self, value: bytes) -> None:
        with pytest.raises(PasskeyRefused):
            attest(ATTESTATION | {"response": ATTESTATION["response"] | {"attestationObject": text(value)}})

    @given(st.data())
    def test_any_bytes_inside_an_attestation_object_are_refused(self, chance: st.DataObject) -> None:
        value = bytearray(data(ATTESTATION["response"]["attestationObject"]))
        start = chance.draw(st.integers(0, len(value) - 1))
        value[start : start + chance.draw(st.integers(0, 8))] = chance.draw(st.binary(max_size=8))
        with suppress(PasskeyRefused):
            attest(ATTESTATION | {"response": ATTESTATION["response"] | {"attestationObject": text(bytes(value))}})

    @given(st.sampled_from(["clientDataJSON", "authenticatorData", "signature", "userHandle"]), st.data())
    def test_every_bit_of_an_assertion_counts(self, name: str, chance: st.DataObject) -> None:
        value = bytearray(data(ASSERTION["response"][name]))
        bit = chance.draw(st.integers(0, len(value) * 8 - 1))
        value[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PasskeyInvalid):
            check(ASSERTION | {"response": ASSERTION["response"] | {name: text(bytes(value))}})

    def test_deeply_nested_cbor_is_refused(self) -> None:
        for deep in (b"\x81" * 16_000, b"\xa1\x00" * 8_000, b"\xc1" * 16_000, b"\x9f" * 16_000, b"\xbb" + b"\xff" * 8):
            with pytest.raises(PasskeyRefused):
                attest(ATTESTATION | {"response": ATTESTATION["response"] | {"attestationObject": text(deep)}})

    def test_the_unchanged_responses_are_accepted(self) -> None:
        assert check(ASSERTION).sign_count == 1
