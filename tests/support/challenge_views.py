"""How tests look at a challenge: who is on its roster, who is ranked how, what it counts."""

from typing import Any

from tests.support.api import Client
from tests.support.database import Database


def roster(reader: Client, path: str) -> list[str]:
    return [item["username"] for item in reader.get(f"{path}/participants").json["items"]]


def ranked(reader: Client, path: str) -> list[tuple[int, str]]:
    return [(item["rank"], item["username"]) for item in reader.get(f"{path}/standings").json["items"]]


def place_of(reader: Client, path: str, username: str) -> str:
    items = reader.get(f"{path}/participants").json["items"]
    return next(str(item["participant_id"]) for item in items if item["username"] == username)


def count(database: Database, challenge: dict[str, Any]) -> tuple[int, int]:
    """What the challenge says, and the truth."""
    row: tuple[int, int] = database.execute(
        "select participant_count, (select count(*) from challenges.participants p"
        " where p.challenge_id = c.id and left_at is null) from challenges.challenges c where id = %(id)s",
        id=challenge["id"],
    )[0]
    return row
