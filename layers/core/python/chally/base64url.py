"""base64url without padding (RFC 4648, 5), in its one canonical spelling."""

import base64


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: str) -> bytes:
    """The decoded bytes. ValueError for foreign characters, padding, and a last character with stray bits."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise ValueError("not base64url") from error
    if encode(data) != text:
        raise ValueError("not the canonical base64url of these bytes")
    return data
