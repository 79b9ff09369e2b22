"""Finding overlays in pictures: the QR codes that one shows, and whether any is the token of its window."""

from datetime import date
from uuid import UUID

import numpy as np
import zxingcpp
from numpy.typing import NDArray

from challenges import overlay, overlay_key
from challenges.overlay import Finding

FORMATS = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCodeModel2)  # no Micro QR, which segno makes none of


def find(luma: NDArray[np.uint8]) -> list[str]:
    """What the QR codes in a picture say, whichever way they lie; `luma` has the shape (height, width)."""
    codes = zxingcpp.read_barcodes(luma, formats=FORMATS)
    return [code.bytes.decode("ascii", "replace") for code in codes]


def look(luma: NDArray[np.uint8], secret_arn: str, participant_id: UUID, local_date: date) -> set[Finding]:
    """What the codes in a picture are to a window. It may ask Secrets Manager: never call it inside a transaction."""
    texts = find(luma)

    def check(*keys: bytes) -> set[Finding]:
        return {overlay.check(text, keys, participant_id, local_date) for text in texts}

    findings = check(overlay_key.current(secret_arn))
    if "forged" in findings and "right" not in findings:  # unless the key was replaced meanwhile
        findings = check(*overlay_key.read_anew(secret_arn))
    return findings
