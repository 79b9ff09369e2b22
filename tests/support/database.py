"""A Postgres database per test."""

from dataclasses import dataclass
from typing import Any

import psycopg

# No test loses power: durability would only cost time.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


@dataclass(frozen=True)
class Database:
    """A database of one test's own. `url` is its administrator's; `app` and `system` are the roles of the functions."""

    url: str
    app: str
    system: str

    def execute(self, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        """As the administrator, past row-level security: for arranging and for looking."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []
