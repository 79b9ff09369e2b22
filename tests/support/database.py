"""A Postgres for the run, and a database per test, cloned from a migrated template."""

import os
import shutil
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
from psycopg import sql

from infra.local.postgres import Postgres
from infra.local.workspace import HOST

# Tests never lose power, so durability would only cost time. One SCRAM iteration makes a connection 2 ms cheaper.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_wal_size": "256MB",
    "scram_iterations": "1",
}
MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 2 * 1024**3  # bytes free: a server takes less than 1 GB

_administrators: dict[tuple[str, int], psycopg.Connection[tuple[Any, ...]]] = {}
"""By URL and thread."""


@dataclass(frozen=True)
class Database:
    """The database of one test: the URLs of its administrator, and of the roles `app` and `system` of the functions."""

    url: str
    app: str
    system: str

    def execute(self, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement as the administrator, who bypasses row-level security: to arrange and to inspect."""
        cursor = self._administrator().execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Close the administrator's connections."""
        for key in [key for key in _administrators if key[0] == self.url]:
            _administrators.pop(key).close()

    def _administrator(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection kept per thread: opening one costs more than most statements."""
        key = self.url, threading.get_ident()
        if key not in _administrators or _administrators[key].closed:
            _administrators[key] = psycopg.connect(self.url, autocommit=True, prepare_threshold=None)
        return _administrators[key]


def server_directory() -> tempfile.TemporaryDirectory[str]:
    """A directory for Postgres, in memory where there is enough: cloning a database there takes a third of the time."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED
    return tempfile.TemporaryDirectory(
        prefix="chally-tests-", dir=MEMORY if roomy else None, ignore_cleanup_errors=True
    )


class Clones:
    """Databases cloned from a template. While a test runs, a thread makes the next one and drops the one before."""

    def __init__(self, server: Postgres, template: str) -> None:
        self._server, self._template = server, template
        self._thread = ThreadPoolExecutor(1)
        self._ready = self._thread.submit(self._create)
        self._dropped: list[Future[None]] = []

    def take(self) -> Database:
        """A fresh database."""
        name = self._ready.result()
        self._ready = self._thread.submit(self._create)
        while self._dropped and self._dropped[0].done():
            self._dropped.pop(0).result()
        address = f"{HOST}:{self._server.port}/{name}"
        return Database(
            url=self._server.url(name),
            app=f"postgresql://chally_app:test@{address}",
            system=f"postgresql://chally_system:test@{address}",
        )

    def drop(self, database: Database) -> None:
        """Drop it later, with all connections to it."""
        database.close()
        self._dropped.append(self._thread.submit(self._drop, database.url.rpartition("/")[2]))

    def close(self) -> None:
        self._thread.shutdown()
        for dropped in self._dropped:
            dropped.result()

    def _create(self) -> str:
        name = f"test_{uuid4().hex}"
        self._execute("create database {} template {} strategy file_copy", name, self._template)
        return name

    def _drop(self, name: str) -> None:
        self._execute("drop database {} with (force)", name)

    def _execute(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
