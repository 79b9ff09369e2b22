"""Challenges as clients send and receive them."""

from datetime import datetime, timedelta
from typing import Any


def challenge_body(now: datetime, **changes: Any) -> dict[str, Any]:
    """A valid body: a photo every day, all day, from an hour ago for a month."""
    body: dict[str, Any] = {
        "title": "Run before eight",
        "status": "active",
        "late_join": True,
        "timezone": "Europe/Berlin",
        "starts_at": (now - timedelta(hours=1)).isoformat(),
        "ends_at": (now + timedelta(days=30)).isoformat(),
        "rules": {
            "version": 1,
            "schedule": {
                "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
                "opens": "00:00",
                "closes": "00:00",
            },
        },
    }
    return body | changes


ChallengeJson = dict[str, Any]
"""A challenge, as it was answered when it was made."""


RULES: dict[str, Any] = {
    "version": 1,
    "schedule": {"days": ["mon", "wed"], "opens": "05:00", "closes": "08:00", "scope": "participant_local"},
    "proof": {"kind": "photo", "max_per_window": 1, "max_bytes": 10485760, "types": ["image/jpeg"]},
    "anti_cheat": {"overlay": False, "exif_required": False, "phash_check": True, "strip_exif": True},
    "scoring": {"points": 10, "streak_bonus": 1, "grace_days": 0},
    "reminders": {"before_close_minutes": 60},
}
