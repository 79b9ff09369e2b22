"""A passkey in software and the browser in front of it. It can lie about every value."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

ORIGIN = "https://api.test"
PRESENT, VERIFIED, BACKUP_ELIGIBLE, BACKED_UP, ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40
ES256, ES384 = -7, -35


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def data(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


@dataclass
class Authenticator:
    """One credential. `count` is how often it has signed; it stays 0 if `counts` is false."""

    counts: bool = True
    count: int = 0
    flags: int = PRESENT | VERIFIED
    algorithm: int = ES256
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    user_handle: bytes = b""

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1() if self.algorithm == ES256 else ec.SECP384R1())

    def create(self, options: dict[str, Any], **lies: Any) -> dict[str, Any]:
        """The JSON of navigator.credentials.create(). `lies`: see `_client_data` and `_signed`; and
        `statement`, the attestation's format and statement.
        """
        self.user_handle = data(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        size = (self.key.curve.key_size + 7) // 8
        curve = 1 if self.algorithm == ES256 else 2
        cose = {1: 2, 3: self.algorithm, -1: curve, -2: numbers.x.to_bytes(size), -3: numbers.y.to_bytes(size)}
        public_key = cbor2.dumps(lies.pop("public_key", cose))
        attested = bytes(16) + len(self.credential_id).to_bytes(2) + self.credential_id + public_key
        client_data = _client_data("webauthn.create", options, lies)
        form, statement = lies.pop("statement", ("none", {}))
        signed = self._signed(options["rp"]["id"], lies, ATTESTED) + attested
        if form == "packed" and "sig" not in statement:
            statement = {"alg": self.algorithm, "sig": self._sign(signed, client_data)} | statement
        attestation_object = cbor2.dumps({"fmt": form, "attStmt": statement, "authData": signed})
        response = {"attestationObject": text(attestation_object), "transports": ["internal"]}
        return self._answer(client_data, response, lies)

    def get(self, options: dict[str, Any], **lies: Any) -> dict[str, Any]:
        """The JSON of navigator.credentials.get(). Lies: those of `create`, and `user_handle` and `signature`."""
        if self.counts:
            self.count += 1
        client_data = _client_data("webauthn.get", options, lies)
        signed = self._signed(options["rpId"], lies)
        response = {
            "authenticatorData": text(signed),
            "signature": text(lies.pop("signature", None) or self._sign(signed, client_data)),
            "userHandle": text(lies.pop("user_handle", self.user_handle)),
        }
        return self._answer(client_data, response, lies)

    def _answer(self, client_data: bytes, response: dict[str, Any], lies: dict[str, Any]) -> dict[str, Any]:
        assert not lies, f"unknown lies: {lies}"
        return {
            "id": text(self.credential_id),
            "rawId": text(self.credential_id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": response | {"clientDataJSON": text(client_data)},
        }

    def _signed(self, rp_id: str, lies: dict[str, Any], flags: int = 0) -> bytes:
        """Authenticator data. Lies: `rp_id`, `flags`, `count`."""
        rp_id_hash = hashlib.sha256(lies.pop("rp_id", rp_id).encode()).digest()
        count: int = lies.pop("count", self.count)
        flags |= lies.pop("flags", self.flags)
        return rp_id_hash + bytes([flags]) + count.to_bytes(4)

    def _sign(self, signed: bytes, client_data: bytes) -> bytes:
        digest = SHA256() if self.algorithm == ES256 else SHA384()
        return bytes(self.key.sign(signed + hashlib.sha256(client_data).digest(), ec.ECDSA(digest)))


def _client_data(kind: str, options: dict[str, Any], lies: dict[str, Any]) -> bytes:
    """The signed data that the browser adds. Lies: `kind`, `challenge`, `origin`, `cross_origin`, `client_data`."""
    return json.dumps(
        {
            "type": lies.pop("kind", kind),
            "challenge": lies.pop("challenge", options["challenge"]),
            "origin": lies.pop("origin", ORIGIN),
            "crossOrigin": lies.pop("cross_origin", False),
        }
        | lies.pop("client_data", {})
    ).encode()
