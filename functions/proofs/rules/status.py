"""The states of a proof, and when one that was never uploaded expires."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal

from challenges.rules import UPLOAD_TIMEOUT
from chally.errors import AppError

ProofKind = Literal["photo", "text", "number"]
ProofStatus = Literal["awaiting_upload", "processing", "accepted", "rejected", "needs_review", "replaced"]
ShownStatus = Literal["awaiting_upload", "processing", "accepted", "rejected", "needs_review", "replaced", "expired"]

# A proof in one of these counts towards the limit of its window.
COUNTED: Collection[ProofStatus] = ("processing", "accepted", "needs_review")
# How long a pre-signed upload URL is valid: an upload can reach storage this long after its window closed.
UPLOAD_LIFE = timedelta(minutes=10)
# When an upload is given up: its URL has expired, and S3's event would have come.
EXPIRES_AFTER = UPLOAD_TIMEOUT


class NotDecided(AppError):
    status = 409
    code = "not_decided"
    detail = "This proof has no verdict yet."


def shown_status(status: ProofStatus, created_at: datetime, now: datetime) -> ShownStatus:
    """The status that clients see: a proof that was never uploaded expires."""
    if status == "awaiting_upload" and now >= created_at + EXPIRES_AFTER:
        return "expired"
    return status


def check_decided(status: ProofStatus, created_at: datetime, now: datetime) -> None:
    """Raise `NotDecided` for a proof without a verdict. `needs_review` is a verdict."""
    if status in ("awaiting_upload", "processing"):
        shown = shown_status(status, created_at, now).replace("_", " ")
        raise NotDecided(f"This proof has no verdict: it is {shown}.")


def shows_picture(status: ProofStatus, *, shows_details: bool) -> bool:
    """Whether anyone who sees the proof also sees its picture; its sender and reviewers (`shows_details`) always do."""
    return shows_details or status in ("accepted", "replaced")
