"""WebAuthn's two ceremonies: what a browser is asked, and whether what it answers was made by a passkey, here and now.

py_webauthn parses and verifies. What it leaves to its callers is checked first: the challenge, pages inside pages of
other sites, and that an answer is about the credential it names; so is whatever can be refused in clearer words.
Nothing here knows of a database. Every refusal raises a `PasskeyInvalid`: whatever the parsers may do, of an answer
that was made up nothing else comes out.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Self
from uuid import UUID

from identity.rules import CHALLENGE_LIFE, PasskeyInvalid, PasskeyRefused

Ceremony = Literal["webauthn.create", "webauthn.get"]
# COSE: Ed25519; ECDSA on P-256 and RSA PKCS#1 v1.5, both with SHA-256. Every authenticator knows one of them.
ALGORITHMS = (-8, -7, -257)
# No certificates: we ask for none, and would trust none.
FORMATS = ("none", "packed")
# Bytes. WebAuthn bounds credential ids and user handles; what else there is takes a tenth of this.
MAX_CREDENTIAL_ID, MAX_USER_HANDLE, MAX_CLIENT_DATA, MAX_SIGNED, MAX_ATTESTATION = 1023, 64, 4096, 2048, 16384
MAX_PUBLIC_KEY = 1024
MALFORMED = "Malformed: send what PublicKeyCredential.toJSON() gives, unchanged."


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """For whom passkeys are made: a host name that they are bound to, what people are told it is called, and the
    origins of the pages that may ask for them.
    """

    id: str
    name: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What both kinds of answers say: which credential made it, on which page, to which challenge."""

    ceremony: Ceremony
    credential_id: bytes
    client_data_json: bytes
    client_data: dict[str, Any]
    challenge: bytes

    def refuse(self, why: str) -> NoReturn:
        raise _error(self.ceremony)(why)


@dataclass(frozen=True, slots=True)
class Attestation(Answer):
    """Of a new credential."""

    attestation_object: bytes

    @classmethod
    def read(cls, sent: dict[str, Any]) -> Self:
        """From the JSON of a browser's PublicKeyCredential. Raises `PasskeyRefused`."""
        ceremony: Ceremony = "webauthn.create"
        with _refusing(ceremony, MALFORMED):
            response = _members(sent["response"])
            return cls(
                *_answer(ceremony, sent, response),
                attestation_object=_bytes(response["attestationObject"], MAX_ATTESTATION),
            )


@dataclass(frozen=True, slots=True)
class Assertion(Answer):
    """Of one that exists."""

    authenticator_data: bytes
    signature: bytes
    user_handle: bytes

    @classmethod
    def read(cls, sent: dict[str, Any]) -> Self:
        """From the JSON of a browser's PublicKeyCredential. Raises `PasskeyInvalid`."""
        ceremony: Ceremony = "webauthn.get"
        with _refusing(ceremony, MALFORMED):
            response = _members(sent["response"])
            return cls(
                *_answer(ceremony, sent, response),
                authenticator_data=_bytes(response["authenticatorData"], MAX_SIGNED),
                signature=_bytes(response["signature"], MAX_SIGNED),
                user_handle=_bytes(response["userHandle"], MAX_USER_HANDLE),
            )


@dataclass(frozen=True, slots=True)
class Credential:
    """What was learnt of a credential. `public_key` is a COSE key; `sign_count` how often it says that it signed."""

    public_key: bytes
    sign_count: int
    backed_up: bool


def creation_options(
    relying_party: RelyingParty, *, challenge: bytes, user_id: UUID, username: str, known: Sequence[bytes]
) -> dict[str, Any]:
    """For PublicKeyCredential.parseCreationOptionsFromJSON. `known`: the credentials that the person has already."""
    return {
        "rp": {"id": relying_party.id, "name": relying_party.name},
        "user": {"id": _text(user_id.bytes), "name": username, "displayName": username},
        "challenge": _text(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
        "timeout": int(CHALLENGE_LIFE.total_seconds() * 1000),
        "excludeCredentials": [{"type": "public-key", "id": _text(credential_id)} for credential_id in known],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
    }


def request_options(relying_party: RelyingParty, *, challenge: bytes) -> dict[str, Any]:
    """For PublicKeyCredential.parseRequestOptionsFromJSON. No credential is named: the person chooses."""
    return {
        "rpId": relying_party.id,
        "challenge": _text(challenge),
        "timeout": int(CHALLENGE_LIFE.total_seconds() * 1000),
        "allowCredentials": [],
        "userVerification": "required",
    }


def check_attestation(answer: Attestation, relying_party: RelyingParty) -> Credential:
    """The credential that an attestation brings. Raises `PasskeyRefused`; the challenge is for the caller to check."""
    from webauthn import verify_registration_response
    from webauthn.helpers import (
        decode_credential_public_key,
        decoded_public_key_to_cryptography,
        parse_attestation_object,
    )
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.helpers.structs import AuthenticatorAttestationResponse, RegistrationCredential

    _check_client_data(answer, relying_party)
    with _refusing(answer.ceremony, MALFORMED):
        attested = parse_attestation_object(answer.attestation_object)
        signed, data = attested.auth_data, attested.auth_data.attested_credential_data
    _check_authenticator(answer, relying_party, signed.rp_id_hash, present=signed.flags.up, verified=signed.flags.uv)
    if attested.fmt not in FORMATS or attested.att_stmt.x5c:
        answer.refuse("Unsupported attestation: ask for none, as the options do.")
    if data is None or data.credential_id != answer.credential_id:
        answer.refuse("Wrong credential: what was attested is not what has this id.")
    with _refusing(answer.ceremony, "Unsupported algorithm: take one that the options name."):
        key = decode_credential_public_key(data.credential_public_key)
        if key.alg not in ALGORITHMS or len(data.credential_public_key) > MAX_PUBLIC_KEY:
            raise ValueError
        decoded_public_key_to_cryptography(key)
    with _refusing(answer.ceremony, "Wrong signature: the attestation is not what the authenticator made."):
        verified = verify_registration_response(
            credential=RegistrationCredential(
                id=_text(answer.credential_id),
                raw_id=answer.credential_id,
                response=AuthenticatorAttestationResponse(answer.client_data_json, answer.attestation_object),
            ),
            expected_challenge=answer.challenge,
            expected_rp_id=relying_party.id,
            expected_origin=list(relying_party.origins),
            require_user_verification=True,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(algorithm) for algorithm in ALGORITHMS],
        )
    return Credential(verified.credential_public_key, verified.sign_count, verified.credential_backed_up)


def check_assertion(answer: Assertion, relying_party: RelyingParty, *, public_key: bytes, user_id: UUID) -> Credential:
    """What the credential says of itself now. Raises `PasskeyInvalid`; the challenge, and whether the count of
    signatures has grown, are for the caller to check.
    """
    from webauthn import verify_authentication_response
    from webauthn.helpers import parse_authenticator_data
    from webauthn.helpers.structs import AuthenticationCredential, AuthenticatorAssertionResponse

    _check_client_data(answer, relying_party)
    with _refusing(answer.ceremony, MALFORMED):
        signed = parse_authenticator_data(answer.authenticator_data)
    _check_authenticator(answer, relying_party, signed.rp_id_hash, present=signed.flags.up, verified=signed.flags.uv)
    if answer.user_handle != user_id.bytes:
        answer.refuse("Wrong user handle: this passkey is somebody else's.")
    with _refusing(answer.ceremony, "Wrong signature: this passkey did not make it."):
        verified = verify_authentication_response(
            credential=AuthenticationCredential(
                id=_text(answer.credential_id),
                raw_id=answer.credential_id,
                response=AuthenticatorAssertionResponse(
                    answer.client_data_json, answer.authenticator_data, answer.signature, answer.user_handle
                ),
            ),
            expected_challenge=answer.challenge,
            expected_rp_id=relying_party.id,
            expected_origin=list(relying_party.origins),
            require_user_verification=True,
            credential_public_key=public_key,
            # the caller's to compare, once it is known that the credential said it: py_webauthn looks before
            credential_current_sign_count=0,
        )
    return Credential(public_key, verified.new_sign_count, verified.credential_backed_up)


def is_cloned(*, stored: int, signed: int) -> bool:
    """Whether a count of signatures did not grow, where the authenticator counts at all (WebAuthn, 6.1.1)."""
    return (stored > 0 or signed > 0) and signed <= stored


def _check_client_data(answer: Answer, relying_party: RelyingParty) -> None:
    client_data = answer.client_data
    if client_data.get("type") != answer.ceremony:
        answer.refuse("Wrong ceremony: this was made for signing in where registering was asked, or the other way.")
    if client_data.get("origin") not in relying_party.origins:
        answer.refuse("Wrong origin: this was made on a page that may not sign in here.")
    if client_data.get("crossOrigin", False) is not False or "topOrigin" in client_data:
        answer.refuse("Cross-origin: this was made inside a page of another site.")


def _check_authenticator(
    answer: Answer, relying_party: RelyingParty, rp_id_hash: bytes, *, present: bool, verified: bool
) -> None:
    if rp_id_hash != hashlib.sha256(relying_party.id.encode()).digest():
        answer.refuse("Wrong relying party: this was made for another site.")
    if not present:
        answer.refuse("No user presence: nobody touched the authenticator.")
    if not verified:
        answer.refuse("No user verification: the authenticator asked for no PIN, finger or face.")


def _answer(
    ceremony: Ceremony, sent: dict[str, Any], response: dict[str, Any]
) -> tuple[Ceremony, bytes, bytes, dict[str, Any], bytes]:
    if sent["type"] != "public-key" or sent["id"] != sent["rawId"]:
        raise ValueError
    client_data_json = _bytes(response["clientDataJSON"], MAX_CLIENT_DATA)
    client_data = _members(json.loads(client_data_json.decode()))
    return (
        ceremony,
        _bytes(sent["rawId"], MAX_CREDENTIAL_ID),
        client_data_json,
        client_data,
        _bytes(client_data["challenge"], MAX_USER_HANDLE),
    )


def _members(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _bytes(value: Any, most: int) -> bytes:
    """base64url without padding, of one byte at least."""
    if not isinstance(value, str) or not 0 < len(value) <= most * 4 / 3 + 1:
        raise ValueError
    return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _error(ceremony: Ceremony) -> type[PasskeyInvalid]:
    return PasskeyInvalid if ceremony == "webauthn.get" else PasskeyRefused


@contextmanager
def _refusing(ceremony: Ceremony, why: str) -> Iterator[None]:
    """Whatever parsers raise at bytes that anybody may send, it is the answer that is wrong."""
    try:
        yield
    except Exception:
        raise _error(ceremony)(why) from None
