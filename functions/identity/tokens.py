"""Opaque tokens: random, and stored as a hash."""

import hashlib
import secrets


def random() -> str:
    """Generate a token: 256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """Hash a token for storage. Tokens are random, so a plain SHA-256 is enough."""
    return hashlib.sha256(token.encode()).digest()
