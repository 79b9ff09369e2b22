"""Migrations by the real handler, on databases of their own."""

import threading
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from chally import settings
from infra.local.postgres import Postgres
from migrations.handler import handler
from tests.support.api import LambdaContext


@pytest.fixture
def empty(postgres: Postgres, template: str, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    monkeypatch.setenv("CHALLY_DATABASE_OWNER_URL", postgres.url(name))
    settings.load.cache_clear()
    return postgres.url(name)


def test_again_changes_nothing(empty: str) -> None:
    first = handler({}, LambdaContext())
    with psycopg.connect(empty) as connection:
        query = "select count(*), max(oid) from pg_class"
        before = connection.execute(query).fetchone()
        assert handler({}, LambdaContext()) == first
        assert connection.execute(query).fetchone() == before


def test_two_deploys_at_once_take_turns(empty: str) -> None:
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(handler({}, LambdaContext()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3
    assert answers[0] == answers[1] == answers[2]


def test_nobody_but_ours_may_connect(empty: str) -> None:
    handler({}, LambdaContext())
    with psycopg.connect(empty, autocommit=True) as connection:
        role = f"somebody_{uuid4().hex}"
        connection.execute(sql.SQL("create role {} login password 'x'").format(sql.Identifier(role)))
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(connection.info.dsn, user=role, password="x")
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
