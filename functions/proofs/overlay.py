"""Finding overlays in pictures: the QR codes that one shows, and whether any is the token of its window."""

from collections.abc import Collection
from datetime import date
from uuid import UUID

import numpy as np
import zxingcpp
from numpy.typing import NDArray

from challenges import overlay, overlay_key
from challenges.overlay import OverlayResult
from proofs.rules import Reason

FORMATS = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCodeModel2)  # no Micro QR, which segno makes none of


def find(luma: NDArray[np.uint8]) -> list[str]:
    """What the QR codes in a picture say, whichever way they lie; `luma` has the shape (height, width)."""
    codes = zxingcpp.read_barcodes(luma, formats=FORMATS)
    return [code.bytes.decode("ascii", "replace") for code in codes]


def look(luma: NDArray[np.uint8], secret_arn: str, participant_id: UUID, local_date: date) -> set[OverlayResult]:
    """What the codes in a picture are to a window. It may ask Secrets Manager: never call it inside a transaction."""
    texts = find(luma)

    def check(*keys: bytes) -> set[OverlayResult]:
        return {overlay.check(text, keys, participant_id, local_date) for text in texts}

    findings = check(overlay_key.cached(secret_arn))
    if "forged" in findings and "valid" not in findings:  # unless the key was replaced meanwhile
        findings = check(*overlay_key.fetch_all(secret_arn))
    return findings


def judge(findings: Collection[OverlayResult]) -> Reason | None:
    """What is wrong with the codes in a photo that must show its window's; None where one is right."""
    if "valid" in findings:
        return None
    for finding, detail in _WRONG_OVERLAYS.items():
        if finding in findings:
            return Reason(code="overlay_invalid", detail=detail)
    detail = (
        "We cannot read your window's QR code in this photo. Take a new one with the code in it: whole, sharp, not too "
        "small, and without a reflection on it."
    )
    return Reason(code="overlay_missing", detail=detail)


# The nearest to a right one first.
_WRONG_OVERLAYS: dict[OverlayResult, str] = {
    "other_window": "The QR code in this photo is of another day. Load today's, and take a new photo with that.",
    "other_participant": "The QR code in this photo was made for somebody else, or for another challenge. Take a "
    "new photo with the one that this challenge shows to you.",
    "forged": "The QR code in this photo is not as we made it. Load your window's, and take a new photo with that.",
}
