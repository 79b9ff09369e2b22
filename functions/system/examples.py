"""Example bodies, by the name of their schema. Each is valid when it is sent unchanged."""

import re
from datetime import date, timedelta
from typing import Any

# The served description has dates that lie ahead; the file has these.
STARTS, ENDS = "2027-01-04T00:00:00Z", "2027-02-01T00:00:00Z"

_RULES = {
    "version": 1,
    "schedule": {"days": ["mon", "tue", "wed", "thu", "fri"], "opens": "05:00", "closes": "08:00"},
    "proof": {"kind": "photo", "max_per_window": 1},
}
_CREDENTIAL = {"id": "kT9x", "rawId": "kT9x", "type": "public-key", "response": {"clientDataJSON": "e30"}}
_TOKEN = "3q2-7wAbcdefghijklmnopqrstuvwxyz0123456789A"  # noqa: S105 - of nobody

BODIES: dict[str, Any] = {
    "AddressIn": {"email": "kari@example.com"},
    "AppealIn": {"message": "The photo shows me this morning; the clock in it is an hour off."},
    "AssertionIn": {"assertion": _CREDENTIAL},
    "ChallengeEditIn": {"title": "Run before nine", "max_participants": 50},
    "ChallengeIn": {
        "title": "Run before eight",
        "description": "Twenty minutes of running, before work.",
        "status": "active",
        "visibility": "code",
        "timezone": "Europe/Oslo",
        "starts_at": STARTS,
        "ends_at": ENDS,
        "max_participants": 20,
        "rules": _RULES,
    },
    "CodeIn": {"code": "123456"},
    "DeletionIn": {"password": "a long walk at dawn"},
    "EmailIn": {"current_password": "a long walk at dawn", "new": "kari@example.org"},
    "JoinIn": {"timezone": "Asia/Tokyo"},
    "LoginIn": {"login": "kari@example.com", "password": "a long walk at dawn"},
    "MeIn": {"timezone": "Europe/Oslo", "notifications": {"quiet_hours": {"from": "22:00", "to": "06:30"}}},
    "MfaIn": {"mfa_token": _TOKEN, "code": "123456"},
    "PasskeyIn": {"name": "Kari's phone", "attestation": _CREDENTIAL},
    "PasswordIn": {"current_password": "a long walk at dawn", "new": "a longer walk at dusk"},
    "ProofIn": {
        "content_type": "image/jpeg",
        "content_length": 171_222,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "note": "Around the lake.",
    },
    "RefreshIn": {"refresh_token": _TOKEN},
    "RegisterIn": {
        "email": "kari@example.com",
        "username": "kari",
        "password": "a long walk at dawn",
        "timezone": "Europe/Oslo",
    },
    "ResetIn": {"token": _TOKEN, "password": "a longer walk at dusk"},
    "ReviewIn": {"decision": "reject", "reason": "The photo shows somebody else."},
    "StepUpIn": {"password": "a long walk at dawn"},
    "TimezoneIn": {"timezone": "Asia/Tokyo"},
    "TokenIn": {"token": _TOKEN},
    "TotpOffIn": {"code": "123456"},
    "TransitionIn": {"to": "active"},
    "VerifyIn": {"token": _TOKEN},
}


def with_dates_ahead(document: str, today: date) -> str:
    """Replace the dates of examples, so that the challenge in them can be created today."""
    monday = today + timedelta(days=7 - today.weekday())
    dates = {STARTS: f"{monday}T00:00:00Z", ENDS: f"{monday + timedelta(days=28)}T00:00:00Z"}
    return re.sub("|".join(dates), lambda match: dates[match[0]], document)
