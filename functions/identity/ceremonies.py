"""WebAuthn's two ceremonies: the options sent to a browser, and the verification of its responses.

py_webauthn parses and verifies. The checks it leaves to its callers come first (embedding in other sites' pages, and
that the response is about the credential it names), as do those that deserve a clearer message. This module is pure.
Every refusal raises a `PasskeyInvalid`, whichever exception the parsers raise on a forged response.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Self
from uuid import UUID

from chally import base64url
from identity.rules import CHALLENGE_LIFE, PasskeyInvalid, PasskeyRefused

Ceremony = Literal["webauthn.create", "webauthn.get"]
# COSE: Ed25519; ECDSA on P-256 and RSA PKCS#1 v1.5, both with SHA-256. Every authenticator supports one of them.
ALGORITHMS = (-8, -7, -257)
# Formats without certificates: the options request no attestation, and we would trust none.
FORMATS = ("none", "packed")
# Bytes. WebAuthn bounds credential ids and user handles; the other values are typically a tenth of these limits.
MAX_CREDENTIAL_ID, MAX_USER_HANDLE, MAX_CLIENT_DATA, MAX_SIGNED, MAX_ATTESTATION = 1023, 64, 4096, 2048, 16384
MAX_PUBLIC_KEY = 1024
MALFORMED = "Malformed passkey response. Send the result of PublicKeyCredential.toJSON() unchanged."


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The site that passkeys belong to: the host name they are bound to, its display name, and the origins of the
    pages that may request them.
    """

    id: str
    name: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PasskeyResponse:
    """The part that both ceremonies share: which credential signed, on which page, for which challenge."""

    ceremony: Ceremony
    credential_id: bytes
    client_data_json: bytes
    client_data: dict[str, Any]
    challenge: bytes

    def refuse(self, detail: str) -> NoReturn:
        raise _error_class(self.ceremony)(detail)


@dataclass(frozen=True, slots=True)
class AttestationResponse(PasskeyResponse):
    """The response that registers a new credential."""

    attestation_object: bytes

    @classmethod
    def read(cls, sent: dict[str, Any]) -> Self:
        """Parse the JSON of a browser's PublicKeyCredential. Raises `PasskeyRefused`."""
        ceremony: Ceremony = "webauthn.create"
        with _refuse_on_error(ceremony, MALFORMED):
            response = _object(sent["response"])
            return cls(
                *_read_common(ceremony, sent, response),
                attestation_object=_bytes(response["attestationObject"], MAX_ATTESTATION),
            )


@dataclass(frozen=True, slots=True)
class AssertionResponse(PasskeyResponse):
    """The response that signs in with an existing credential."""

    authenticator_data: bytes
    signature: bytes
    user_handle: bytes

    @classmethod
    def read(cls, sent: dict[str, Any]) -> Self:
        """Parse the JSON of a browser's PublicKeyCredential. Raises `PasskeyInvalid`."""
        ceremony: Ceremony = "webauthn.get"
        with _refuse_on_error(ceremony, MALFORMED):
            response = _object(sent["response"])
            return cls(
                *_read_common(ceremony, sent, response),
                authenticator_data=_bytes(response["authenticatorData"], MAX_SIGNED),
                signature=_bytes(response["signature"], MAX_SIGNED),
                user_handle=_bytes(response["userHandle"], MAX_USER_HANDLE),
            )


@dataclass(frozen=True, slots=True)
class VerifiedCredential:
    """A credential after verification. `public_key` is a COSE key; `sign_count` is the authenticator's counter."""

    public_key: bytes
    sign_count: int
    backed_up: bool


def creation_options(
    relying_party: RelyingParty, *, challenge: bytes, user_id: UUID, username: str, known: Sequence[bytes]
) -> dict[str, Any]:
    """Return the input of PublicKeyCredential.parseCreationOptionsFromJSON. `known`: the user's credential ids."""
    return {
        "rp": {"id": relying_party.id, "name": relying_party.name},
        "user": {"id": base64url.encode(user_id.bytes), "name": username, "displayName": username},
        "challenge": base64url.encode(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
        "timeout": int(CHALLENGE_LIFE.total_seconds() * 1000),
        "excludeCredentials": [
            {"type": "public-key", "id": base64url.encode(credential_id)} for credential_id in known
        ],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
    }


def request_options(relying_party: RelyingParty, *, challenge: bytes) -> dict[str, Any]:
    """Return the input of PublicKeyCredential.parseRequestOptionsFromJSON. It names no credential: the user chooses."""
    return {
        "rpId": relying_party.id,
        "challenge": base64url.encode(challenge),
        "timeout": int(CHALLENGE_LIFE.total_seconds() * 1000),
        "allowCredentials": [],
        "userVerification": "required",
    }


def check_attestation(response: AttestationResponse, relying_party: RelyingParty) -> VerifiedCredential:
    """Verify a new credential. Raises `PasskeyRefused`. The caller checks the challenge."""
    from webauthn import verify_registration_response
    from webauthn.helpers import (
        decode_credential_public_key,
        decoded_public_key_to_cryptography,
        parse_attestation_object,
    )
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.helpers.structs import AuthenticatorAttestationResponse, RegistrationCredential

    _check_client_data(response, relying_party)
    with _refuse_on_error(response.ceremony, MALFORMED):
        attested = parse_attestation_object(response.attestation_object)
        signed, data = attested.auth_data, attested.auth_data.attested_credential_data
    _check_authenticator(response, relying_party, signed.rp_id_hash, present=signed.flags.up, verified=signed.flags.uv)
    if attested.fmt not in FORMATS or attested.att_stmt.x5c:
        response.refuse('Unsupported attestation. Use "none", as in the options.')
    if data is None or data.credential_id != response.credential_id:
        response.refuse("Wrong credential: its id differs from the attested one.")
    with _refuse_on_error(response.ceremony, "Unsupported algorithm. Use one of those in the options."):
        key = decode_credential_public_key(data.credential_public_key)
        if key.alg not in ALGORITHMS or len(data.credential_public_key) > MAX_PUBLIC_KEY:
            raise ValueError
        decoded_public_key_to_cryptography(key)
    with _refuse_on_error(response.ceremony, "Wrong signature: the authenticator did not make this attestation."):
        verified = verify_registration_response(
            credential=RegistrationCredential(
                id=base64url.encode(response.credential_id),
                raw_id=response.credential_id,
                response=AuthenticatorAttestationResponse(response.client_data_json, response.attestation_object),
            ),
            expected_challenge=response.challenge,
            expected_rp_id=relying_party.id,
            expected_origin=list(relying_party.origins),
            require_user_verification=True,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(algorithm) for algorithm in ALGORITHMS],
        )
    return VerifiedCredential(verified.credential_public_key, verified.sign_count, verified.credential_backed_up)


def check_assertion(
    response: AssertionResponse, relying_party: RelyingParty, *, public_key: bytes, user_id: UUID
) -> VerifiedCredential:
    """Verify a sign-in; the result holds the credential's current state. Raises `PasskeyInvalid`.

    The caller checks the challenge and the signature counter (`is_cloned`).
    """
    from webauthn import verify_authentication_response
    from webauthn.helpers import parse_authenticator_data
    from webauthn.helpers.structs import AuthenticationCredential, AuthenticatorAssertionResponse

    _check_client_data(response, relying_party)
    with _refuse_on_error(response.ceremony, MALFORMED):
        signed = parse_authenticator_data(response.authenticator_data)
    _check_authenticator(response, relying_party, signed.rp_id_hash, present=signed.flags.up, verified=signed.flags.uv)
    if response.user_handle != user_id.bytes:
        response.refuse("Wrong user handle: this passkey belongs to another account.")
    with _refuse_on_error(response.ceremony, "Wrong signature: it does not match this passkey's public key."):
        verified = verify_authentication_response(
            credential=AuthenticationCredential(
                id=base64url.encode(response.credential_id),
                raw_id=response.credential_id,
                response=AuthenticatorAssertionResponse(
                    response.client_data_json, response.authenticator_data, response.signature, response.user_handle
                ),
            ),
            expected_challenge=response.challenge,
            expected_rp_id=relying_party.id,
            expected_origin=list(relying_party.origins),
            require_user_verification=True,
            credential_public_key=public_key,
            # py_webauthn would compare counters before it verifies the signature; the caller compares them after
            credential_current_sign_count=0,
        )
    return VerifiedCredential(public_key, verified.new_sign_count, verified.credential_backed_up)


def is_cloned(*, stored: int, signed: int) -> bool:
    """Whether the signature counter failed to grow, if the authenticator keeps one (WebAuthn, 6.1.1)."""
    return (stored > 0 or signed > 0) and signed <= stored


def _check_client_data(response: PasskeyResponse, relying_party: RelyingParty) -> None:
    client_data = response.client_data
    if client_data.get("type") != response.ceremony:
        response.refuse("Wrong ceremony: use navigator.credentials.create() to register, .get() to sign in.")
    if client_data.get("origin") not in relying_party.origins:
        response.refuse("Wrong origin: this page may not use passkeys of this site.")
    if client_data.get("crossOrigin", False) is not False or "topOrigin" in client_data:
        response.refuse("Cross-origin: this page was embedded in another site's page.")


def _check_authenticator(
    response: PasskeyResponse, relying_party: RelyingParty, rp_id_hash: bytes, *, present: bool, verified: bool
) -> None:
    if rp_id_hash != hashlib.sha256(relying_party.id.encode()).digest():
        response.refuse("Wrong relying party: this passkey belongs to another site.")
    if not present:
        response.refuse("No user presence: touch the authenticator.")
    if not verified:
        response.refuse("No user verification: the authenticator must ask for a PIN, fingerprint or face.")


def _read_common(
    ceremony: Ceremony, sent: dict[str, Any], response: dict[str, Any]
) -> tuple[Ceremony, bytes, bytes, dict[str, Any], bytes]:
    if sent["type"] != "public-key" or sent["id"] != sent["rawId"]:
        raise ValueError
    client_data_json = _bytes(response["clientDataJSON"], MAX_CLIENT_DATA)
    client_data = _object(json.loads(client_data_json.decode()))
    return (
        ceremony,
        _bytes(sent["rawId"], MAX_CREDENTIAL_ID),
        client_data_json,
        client_data,
        _bytes(client_data["challenge"], MAX_USER_HANDLE),
    )


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _bytes(value: Any, max_length: int) -> bytes:
    """Decode base64url without padding, of 1 to `max_length` bytes."""
    if not isinstance(value, str) or not 0 < len(value) <= max_length * 4 / 3 + 1:
        raise ValueError
    return base64url.decode(value)


def _error_class(ceremony: Ceremony) -> type[PasskeyInvalid]:
    return PasskeyInvalid if ceremony == "webauthn.get" else PasskeyRefused


@contextmanager
def _refuse_on_error(ceremony: Ceremony, detail: str) -> Iterator[None]:
    """Turn any exception into a refusal: anyone may send these bytes, so an exception means that they are invalid."""
    try:
        yield
    except Exception:
        raise _error_class(ceremony)(detail) from None
