"""Compact JWS (RFC 7515, 7.1) in the one form that ours have: one algorithm, which the reader names, a `kid`, a `typ`.

Nothing in one chooses its key or how it is read, and there is one way of writing it down.
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
    """None of ours by its form; the message is a sentence for whoever checks one by hand."""


@dataclass(frozen=True, slots=True)
class CompactJws:
    """A compact JWS whose form is ours. Its payload says nothing before `is_signed_by` does."""

    kid: str
    typ: object
    payload: bytes
    _input: bytes
    _signature: bytes

    @classmethod
    def read(cls, text: str, *, algorithm: str, max_length: int) -> Self:
        """Raises `MalformedJws` for whatever is none of ours by its form: another algorithm, a parameter that we do not
        use (so nothing chooses a key by URL or value, and nothing is critical), a second spelling of a token.
        """
        found = COMPACT.fullmatch(text) if len(text) <= max_length else None
        if found is None:
            raise MalformedJws(
                f"It is not three parts of base64url with dots between, of at most {max_length} characters."
            )
        header, payload, signature = (_decode(part) for part in found.groups())
        parameters = members(header)
        kid = parameters.get("kid")
        if parameters.get("alg") != algorithm:
            raise MalformedJws(f"Its algorithm is {parameters.get('alg')!r:.40}, where only {algorithm} counts.")
        if parameters.keys() - PARAMETERS or not isinstance(kid, str):
            raise MalformedJws("Its header has another form than ours.")
        return cls(kid, parameters.get("typ"), payload, text.rpartition(".")[0].encode(), signature)

    def is_signed_by(self, key: jwt.PyJWK) -> bool:
        """Whether the signature is the key's, by the key's algorithm: see that it is the one that was read for."""
        return key.Algorithm.verify(self._input, key.key, self._signature)


def members(part: bytes) -> dict[str, Any]:
    """A JSON object, of which no member comes twice (RFC 7515, 4; RFC 7519, 4). Raises `MalformedJws`."""
    try:
        parsed = json.loads(part.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise MalformedJws("A part of it is not JSON, or has a member twice.") from None
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
        raise ValueError("a member twice")
    return dict(pairs)
