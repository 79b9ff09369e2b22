"""Overlay tokens: a participant shows their window's token in the photo as a QR code. Pure.

The token is issued only while the window is open, and names the participant and the date. So a photo that shows it was
not taken earlier, and proves nothing for anyone else. It is signed with a key that only the system holds (see
`overlay_key`).
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import date
from typing import Literal
from uuid import UUID

# In base 32 the whole token consists of letters and digits that QR codes pack densely (ISO/IEC 18004, alphanumeric).
PREFIX = "CHALLY1:"
SIGNATURE = 16  # bytes of the HMAC; RFC 2104 (section 5) recommends at least half of them

# foreign: not a token of ours. forged: looks like a token, but none of the keys signed it.
OverlayResult = Literal["valid", "foreign", "forged", "other_participant", "other_window"]


def issue(key: bytes, participant_id: UUID, local_date: date) -> str:
    """Return the token of a window, always the same one. It has 64 characters: 35 bytes are 56 in base 32, unpadded."""
    payload = participant_id.bytes + local_date.toordinal().to_bytes(3)
    return PREFIX + base64.b32encode(payload + _signature(key, payload)).decode()


def check(text: str, keys: Iterable[bytes], participant_id: UUID, local_date: date) -> OverlayResult:
    """Return whether a text is the token of this window, signed by one of `keys`, or else what is wrong with it."""
    if not text.startswith(PREFIX):
        return "foreign"
    try:
        token = base64.b32decode(text.removeprefix(PREFIX))
    except ValueError:
        return "forged"
    payload, signature = token[:-SIGNATURE], token[-SIGNATURE:]
    if not any(hmac.compare_digest(_signature(key, payload), signature) for key in keys):
        return "forged"
    if payload[:16] != participant_id.bytes:
        return "other_participant"
    return "valid" if int.from_bytes(payload[16:]) == local_date.toordinal() else "other_window"


def _signature(key: bytes, payload: bytes) -> bytes:
    if not key:
        raise ValueError("the overlay key is empty: anyone could sign tokens")
    return hmac.digest(key, b"chally overlay 1:" + payload, hashlib.sha256)[:SIGNATURE]
