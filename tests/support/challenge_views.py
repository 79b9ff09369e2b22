"""What a reader sees of a challenge: its roster, its ranking and its participant count."""

from datetime import date, datetime
from typing import Any

from tests.support.api import Client
from tests.support.database import Database

ZONE_PREVIEW = "/v1/me/timezone/preview"


def roster(reader: Client, path: str) -> list[str]:
    return [item["username"] for item in reader.get(f"{path}/participants").json["items"]]


def ranked(reader: Client, path: str) -> list[tuple[int, str]]:
    return [(item["rank"], item["username"]) for item in reader.get(f"{path}/standings").json["items"]]


def place_of(reader: Client, path: str, username: str) -> str:
    items = reader.get(f"{path}/participants").json["items"]
    return next(str(item["participant_id"]) for item in items if item["username"] == username)


def count(database: Database, challenge: dict[str, Any]) -> tuple[int, int]:
    """The stored participant count, and the number of participants."""
    row: tuple[int, int] = database.execute(
        "select participant_count, (select count(*) from challenges.participants p"
        " where p.challenge_id = c.id and left_at is null) from challenges.challenges c where id = %(id)s",
        id=challenge["id"],
    )[0]
    return row


def preview_zone_change(who: Client, zone: str) -> dict[str, dict[date, tuple[datetime, datetime]]]:
    """Return the windows that would move, as they would be afterwards, by challenge."""
    answer = who.post(ZONE_PREVIEW, {"timezone": zone})
    assert answer.status == 200, answer.text
    assert not answer.json["has_more"]
    found: dict[str, dict[date, tuple[datetime, datetime]]] = {}
    for item in answer.json["items"]:
        windows = {date.fromisoformat(window["local_date"]): window_times(window["to"]) for window in item["windows"]}
        found[item["challenge"]["id"]] = windows
    return found


def window_times(window: dict[str, str]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(window["opens_at"]), datetime.fromisoformat(window["closes_at"])


def row_versions(database: Database) -> list[tuple[Any, ...]]:
    """Return the versions of all windows, reminders and participants: they differ after any write."""
    return database.execute(
        "select xmin::text, ctid::text from challenges.windows union all"
        " select xmin::text, ctid::text from notifications.reminders union all"
        " select xmin::text, ctid::text from challenges.participants"
    )
