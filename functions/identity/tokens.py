"""Opaque tokens: random, and stored as their hash."""

import hashlib
import secrets


def random() -> str:
    """A new unguessable token: 256 bits, URL-safe."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is stored of a token. It is random, so a plain SHA-256 is enough."""
    return hashlib.sha256(token.encode()).digest()
