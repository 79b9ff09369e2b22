"""Overlays: the token of a window, which its participant shows in the photo as a QR code.

It is handed out only while the window is open, and says whose window of which date it is: a photo that shows it was not
taken before, and proves nothing of anybody else's. It is signed with a key that only the system holds (`overlay_key`).
Pure.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import date
from typing import Literal
from uuid import UUID

# With base 32 all of it is letters and digits that QR codes pack densely (ISO/IEC 18004, alphanumeric mode).
PREFIX = "CHALLY1:"
SIGNATURE = 16  # bytes of the HMAC; RFC 2104 (section 5) wants half of them at least

# foreign: no token of ours. forged: it looks like one, but none of the keys has signed it.
Finding = Literal["right", "foreign", "forged", "of_another_participant", "of_another_window"]


def issue(key: bytes, participant_id: UUID, local_date: date) -> str:
    """The token of a window, always the same: 64 characters. 35 bytes are 56 of base 32, with nothing to pad."""
    said = participant_id.bytes + local_date.toordinal().to_bytes(3)
    return PREFIX + base64.b32encode(said + _signature(key, said)).decode()


def check(text: str, keys: Iterable[bytes], participant_id: UUID, local_date: date) -> Finding:
    """What a text is to a window: its token, as one of `keys` signed it, or something else."""
    if not text.startswith(PREFIX):
        return "foreign"
    try:
        token = base64.b32decode(text.removeprefix(PREFIX))
    except ValueError:
        return "forged"
    said, signature = token[:-SIGNATURE], token[-SIGNATURE:]
    if not any(hmac.compare_digest(_signature(key, said), signature) for key in keys):
        return "forged"
    if said[:16] != participant_id.bytes:
        return "of_another_participant"
    return "right" if int.from_bytes(said[16:]) == local_date.toordinal() else "of_another_window"


def _signature(key: bytes, said: bytes) -> bytes:
    if not key:
        raise ValueError("an empty key would be everybody's")
    return hmac.digest(key, b"chally overlay 1:" + said, hashlib.sha256)[:SIGNATURE]
