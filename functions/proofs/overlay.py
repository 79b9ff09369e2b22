"""Checks whether a QR code in a photo is the overlay token of the photo's window."""

from collections.abc import Collection
from datetime import date
from uuid import UUID

from challenges import overlay, overlay_key
from challenges.overlay import OverlayResult
from proofs.rules.verdict import Reason


def check_codes(texts: Collection[str], secret_arn: str, participant_id: UUID, local_date: date) -> set[OverlayResult]:
    """Compare the texts of the codes in a picture with a window's token.

    It may call Secrets Manager: do not call it inside a transaction.
    """

    def check(*keys: bytes) -> set[OverlayResult]:
        return {overlay.check(text, keys, participant_id, local_date) for text in texts}

    results = check(overlay_key.cached(secret_arn))
    if "forged" in results and "valid" not in results:  # or the cached key is out of date
        results = check(*overlay_key.fetch_all(secret_arn))
    return results


def overlay_reason(results: Collection[OverlayResult]) -> Reason | None:
    """Why the codes in a photo do not show its window's token; None if one does."""
    if "valid" in results:
        return None
    for result, detail in _WRONG_OVERLAYS.items():
        if result in results:
            return Reason(code="overlay_invalid", detail=detail)
    detail = (
        "We could not read your window's QR code in this photo. Take a new photo that shows the whole code, sharp, not"
        " too small, and without reflections."
    )
    return Reason(code="overlay_missing", detail=detail)


# In order of precedence: the closest to a valid token first.
_WRONG_OVERLAYS: dict[OverlayResult, str] = {
    "other_window": "The QR code in this photo belongs to another day. Load today's code and take a new photo with it.",
    "other_participant": "The QR code in this photo belongs to another participant or another challenge. Take a"
    " new photo with the code that this challenge shows you.",
    "forged": "The QR code in this photo was not issued by Chally. Load your window's code and take a new photo with"
    " it.",
}
