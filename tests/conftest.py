"""Fixtures for all tests. Each process migrates one Postgres database and clones it for every test."""

import io
import itertools
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from moto import mock_aws
from psycopg import sql

from infra.local.postgres import Postgres
from infra.local.workspace import free_port
from tests.support.api import Client, LambdaContext
from tests.support.database import SETTINGS, Clones, Database, server_directory
from tests.support.environment import UPLOADS_BUCKET, VARIABLES
from tests.support.people import PASSWORD, SignUp, hashed_password

TEMPLATE = "chally_template"
# Tests choose the functions' clock, and the database would refuse any other instant than its own.
TIMELESS = """
    create or replace function core.clock_tolerance() returns interval language sql stable return interval 'infinity'
"""

os.environ |= VARIABLES


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest tests first: one that started last would keep a single core busy at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A directory for servers. pytest's own are closed to the system user that Postgres runs as when we are root."""
    with tempfile.TemporaryDirectory(prefix="chally-tests-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with server_directory() as directory:
        password = secrets.token_urlsafe()
        server = Postgres(directory=Path(directory), port=free_port(), password=password, settings=SETTINGS)
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """The name of the migrated database that tests clone."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    from migrations.handler import migrate

    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        # initdb hashed it with the default number of iterations
        connection.execute(sql.SQL("alter role postgres password {}").format(sql.Literal(postgres.password)))
        for role in ("chally_app", "chally_system"):
            connection.execute(sql.SQL("create role {} login password 'test'").format(sql.Identifier(role)))
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
    url = postgres.url(TEMPLATE).replace("postgresql://", "postgresql+psycopg://")
    with create_engine(url, poolclass=NullPool).connect() as connection:
        migrate(connection)
    return TEMPLATE


@pytest.fixture(scope="session")
def clones(postgres: Postgres, template: str) -> Iterator[Clones]:
    timeless = f"{template}_timeless"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {}").format(sql.Identifier(timeless), sql.Identifier(template))
        )
    with psycopg.connect(postgres.url(timeless), autocommit=True) as connection:
        connection.execute(TIMELESS)
    made = Clones(postgres, timeless)
    yield made
    made.close()


@pytest.fixture
def database(clones: Clones, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    from chally import access_tokens, db, settings

    clone = clones.take()
    monkeypatch.setenv("CHALLY_DATABASE_APP_URL", clone.app)
    monkeypatch.setenv("CHALLY_DATABASE_SYSTEM_URL", clone.system)
    settings.load.cache_clear()
    access_tokens.key_cache.clear()
    yield clone
    db.close()
    settings.load.cache_clear()
    clones.drop(clone)


@pytest.fixture(scope="session")
def keyring() -> Any:
    from identity.keyring import Keyring

    return Keyring.make(datetime.now(UTC) - timedelta(minutes=1))


@pytest.fixture(scope="session")
def receipt_key() -> Any:
    from identity.receipt_key import ReceiptKey

    return ReceiptKey.make(datetime.now(UTC) - timedelta(days=1))


@pytest.fixture(scope="session")
def public_keys(keyring: Any, receipt_key: Any) -> dict[str, dict[str, str]]:
    """Their public halves by id, computed once: reading a private key takes 30 ms."""
    return {key.kid: key.public_jwk() for key in (keyring.keys[0], receipt_key)}


@pytest.fixture(scope="session")
def boto3_session() -> boto3.Session:
    """One session for all tests: reading the service models again for each would take longer than most tests."""
    return boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing")


@pytest.fixture
def cloud(
    database: Database,
    keyring: Any,
    receipt_key: Any,
    public_keys: dict[str, dict[str, str]],
    boto3_session: boto3.Session,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """The parts of AWS that functions call: queues, secrets, the bucket and a mailer, empty."""
    from aws_lambda_powertools.utilities.parameters.constants import DEFAULT_PROVIDERS

    from chally import aws, db
    from identity.queries import keys

    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3_session)
    for provider in DEFAULT_PROVIDERS.values():
        provider.clear_cache()
    with mock_aws(config={"core": {"reset_boto3_session": False}}):
        secret = aws.client("secretsmanager").create_secret
        overlay_secret = secrets.token_hex(32)
        variables = {
            "CHALLY_OUTBOX_QUEUE_URL": aws.client("sqs").create_queue(QueueName="outbox")["QueueUrl"],
            "CHALLY_VERDICTS_QUEUE_URL": aws.client("sqs").create_queue(QueueName="verdicts")["QueueUrl"],
            "CHALLY_SIGNING_SECRET_ARN": secret(Name="signing", SecretString=keyring.dumps())["ARN"],
            "CHALLY_OVERLAY_SECRET_ARN": secret(Name="overlay", SecretString=overlay_secret)["ARN"],
            "CHALLY_UNSUBSCRIBE_SECRET_ARN": secret(Name="unsubscribe", SecretString=secrets.token_hex(32))["ARN"],
            "CHALLY_RECEIPT_SECRET_ARN": secret(Name="receipt", SecretString=receipt_key.dumps())["ARN"],
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        aws.client("s3").create_bucket(Bucket=UPLOADS_BUCKET)
        aws.client("sesv2").create_email_identity(EmailIdentity=VARIABLES["CHALLY_MAIL_FROM"])
        with db.as_system("tests") as tx:
            for kid, jwk in public_keys.items():
                keys.publish_key(tx, kid, jwk)
        yield


@pytest.fixture
def nobody(cloud: None) -> Client:
    """An anonymous client."""
    return Client()


@pytest.fixture
def mails(database: Database) -> Callable[[], list[dict[str, Any]]]:
    """The mails in the outbox, oldest first."""

    def read() -> list[dict[str, Any]]:
        rows = database.execute("select payload from core.outbox where topic = 'mail' order by id")
        return [payload for (payload,) in rows]

    return read


@pytest.fixture
def person(nobody: Client, mails: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> SignUp:
    """Signs people up by the routes that they use themselves, and returns a signed-in client.

    Only the password is not hashed again: each person of a test gets a real hash made earlier.
    """
    from identity import passwords

    count = itertools.count()

    def sign_up(username: str, timezone: str = "Europe/Berlin") -> Client:
        email = f"{username}@people.test"
        body = {"email": email, "username": username, "password": PASSWORD, "timezone": timezone}
        with monkeypatch.context() as patches:
            password_hash = hashed_password(next(count))
            patches.setattr(passwords, "make_hash", lambda _: password_hash)
            patches.setattr(passwords, "matches", lambda stored, _: stored == password_hash)
            assert nobody.post("/v1/auth/register", body).status == 202
        token = next(m["values"]["token"] for m in reversed(mails()) if m.get("to") == email)
        session = nobody.post("/v1/auth/verify-email", {"token": token})
        assert session.status == 200, session.text
        return Client(session.json["access_token"], session.json["user"])

    return sign_up


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Sets the functions' clock. Tokens are checked against the real clock, so sign in first."""
    from chally import clock

    def set_clock(instant: datetime) -> None:
        assert instant.tzinfo is not None
        monkeypatch.setattr(clock, "now", lambda: instant)

    return set_clock


@pytest.fixture
def later(at: Callable[[datetime], None]) -> Callable[[timedelta], None]:
    """Advances the functions' clock. It stands still and starts ten minutes ago, so tokens made since are valid."""
    from chally import clock

    at(clock.now() - timedelta(minutes=10))
    return lambda by: at(clock.now() + by)


@pytest.fixture
def logs() -> Iterator[Callable[[], str]]:
    """The log of the functions, as text."""
    from chally.log import logger

    stream = io.StringIO()
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(stream)
    yield stream.getvalue
    handler.setStream(before)


@pytest.fixture
def untraced() -> Iterator[None]:
    """Pauses the measurement of coverage, for tests that measure time."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


@pytest.fixture
def context() -> LambdaContext:
    return LambdaContext()
