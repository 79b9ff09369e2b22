"""Databases without any table, for migrations to fill."""

from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from chally import settings
from infra.local.postgres import Postgres


@pytest.fixture
def empty(postgres: Postgres, template: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The administrator's URL of an empty database, which the migration function is configured to use."""
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    monkeypatch.setenv("CHALLY_DATABASE_OWNER_URL", postgres.url(name))
    settings.load.cache_clear()
    return postgres.url(name)
