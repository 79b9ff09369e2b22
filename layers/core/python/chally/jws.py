"""Compact JWS (RFC 7515, 7.1), restricted to what we issue: the algorithm that the caller expects, a `kid`, a `typ`.

Nothing in the JWS selects the key or the way it is verified, and only the canonical spelling is accepted.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Self

import jwt

from chally import base64url

COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]+)")
PARAMETERS = {"alg", "kid", "typ"}


class MalformedJws(ValueError):
    """The text is not a JWS in the form that we issue. The message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class CompactJws:
    """A parsed JWS. Do not trust the payload before `is_signed_by` returns True."""

    kid: str
    typ: object
    payload: bytes
    _input: bytes
    _signature: bytes

    @classmethod
    def read(cls, text: str, *, algorithm: str, max_length: int) -> Self:
        """Parse a JWS. Raises `MalformedJws` for another algorithm, for a header parameter that we do not use (such as
        `jku`, `jwk` or `crit`), and for any non-canonical spelling.
        """
        found = COMPACT.fullmatch(text) if len(text) <= max_length else None
        if found is None:
            raise MalformedJws(
                f"It must be three base64url parts separated by dots, at most {max_length} characters in all."
            )
        header, payload, signature = (_decode(part) for part in found.groups())
        parameters = parse_object(header)
        kid = parameters.get("kid")
        if parameters.get("alg") != algorithm:
            raise MalformedJws(f"Its algorithm is {parameters.get('alg')!r:.40}, not {algorithm}.")
        if parameters.keys() - PARAMETERS or not isinstance(kid, str):
            raise MalformedJws("Its header has unknown parameters, or no kid.")
        return cls(kid, parameters.get("typ"), payload, text.rpartition(".")[0].encode(), signature)

    def is_signed_by(self, key: jwt.PyJWK) -> bool:
        """Whether the key made the signature, with the key's algorithm, which must be the one passed to `read`."""
        return key.Algorithm.verify(self._input, key.key, self._signature)


def parse_object(part: bytes) -> dict[str, Any]:
    """Parse a JSON object without duplicate members (RFC 7515, 4; RFC 7519, 4). Raises `MalformedJws`."""
    try:
        parsed = json.loads(part.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise MalformedJws("A part of it is not JSON, or has a duplicate member.") from None
    if not isinstance(parsed, dict):
        raise MalformedJws("A part of it is not a JSON object.")
    return parsed


def _decode(part: str) -> bytes:
    try:
        return base64url.decode(part)
    except ValueError:
        raise MalformedJws("A part of it is not base64url, or has stray bits at its end.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("duplicate member")
    return dict(pairs)
