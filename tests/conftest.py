"""One Postgres for the whole run, migrated once into a template; every test gets a clone of it and a fresh world."""

import io
import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psycopg
import pytest
from moto import mock_aws
from psycopg import sql

from infra.local.postgres import Postgres
from infra.local.workspace import free_port
from tests.support.api import Client, LambdaContext
from tests.support.database import FAST, Database
from tests.support.environment import PUBLIC_URL
from tests.support.people import SignUp

TEMPLATE = "chally_template"

os.environ |= {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "CHALLY_STAGE": "local",
    "CHALLY_VERSION": "0",
    "CHALLY_COMMIT": "test",
    "CHALLY_PUBLIC_URL": PUBLIC_URL,
    "CHALLY_RELYING_PARTY_ID": "api.test",
    "CHALLY_ORIGINS": '["https://api.test", "https://club.api.test"]',
    "CHALLY_MAIL_FROM": "club@chally.test",
    "CHALLY_UPLOADS_BUCKET": "uploads-test",
    "CHALLY_MALWARE_SCANNER": "none",
    "POWERTOOLS_SERVICE_NAME": "test",
    "POWERTOOLS_METRICS_NAMESPACE": "Chally",
}


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A directory for servers. Not pytest's: every run as root closes that to the system user that Postgres runs as."""
    with tempfile.TemporaryDirectory(prefix="chally-tests-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def postgres(place: Path) -> Iterator[Postgres]:
    server = Postgres(
        directory=place / "postgres",
        port=free_port(),
        password=secrets.token_urlsafe(),
        settings=FAST,
    )
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
        for role in ("chally_app", "chally_system"):
            connection.execute(sql.SQL("create role {} login password 'test'").format(sql.Identifier(role)))
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
    url = postgres.url(TEMPLATE).replace("postgresql://", "postgresql+psycopg://")
    with create_engine(url, poolclass=NullPool).connect() as connection:
        migrate(connection)
    return TEMPLATE


@pytest.fixture
def database(postgres: Postgres, template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    from chally import access_tokens, db, settings

    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    address = f"127.0.0.1:{postgres.port}/{name}"
    clone = Database(
        url=postgres.url(name),
        app=f"postgresql://chally_app:test@{address}",
        system=f"postgresql://chally_system:test@{address}",
    )
    monkeypatch.setenv("CHALLY_DATABASE_APP_URL", clone.app)
    monkeypatch.setenv("CHALLY_DATABASE_SYSTEM_URL", clone.system)
    settings.load.cache_clear()
    access_tokens.key_cache.clear()
    yield clone
    db.close()
    settings.load.cache_clear()
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def keyring() -> Any:
    from identity.keyring import Keyring

    return Keyring.make(datetime.now(UTC) - timedelta(minutes=1))


@pytest.fixture(scope="session")
def receipt_key() -> Any:
    from identity.receipt_key import ReceiptKey

    return ReceiptKey.make(datetime.now(UTC) - timedelta(days=1))


@pytest.fixture
def cloud(database: Database, keyring: Any, receipt_key: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the functions ask of AWS: queues, the secrets, the bucket, a mailer."""
    from aws_lambda_powertools.utilities import parameters

    from chally import aws, db
    from identity.queries import keys

    with mock_aws():
        aws.forget()
        parameters.clear_caches()  # type: ignore[no-untyped-call]
        sqs = boto3.client("sqs")
        secret = boto3.client("secretsmanager").create_secret(Name="signing", SecretString=keyring.dumps())
        overlay = boto3.client("secretsmanager").create_secret(Name="overlay", SecretString=secrets.token_hex(32))
        receipt = boto3.client("secretsmanager").create_secret(Name="receipt", SecretString=receipt_key.dumps())
        boto3.client("s3").create_bucket(Bucket="uploads-test")
        boto3.client("sesv2").create_email_identity(EmailIdentity="club@chally.test")
        monkeypatch.setenv("CHALLY_OUTBOX_QUEUE_URL", sqs.create_queue(QueueName="outbox")["QueueUrl"])
        monkeypatch.setenv("CHALLY_VERDICTS_QUEUE_URL", sqs.create_queue(QueueName="verdicts")["QueueUrl"])
        monkeypatch.setenv("CHALLY_SIGNING_SECRET_ARN", secret["ARN"])
        monkeypatch.setenv("CHALLY_OVERLAY_SECRET_ARN", overlay["ARN"])
        monkeypatch.setenv("CHALLY_RECEIPT_SECRET_ARN", receipt["ARN"])
        with db.as_system("tests") as tx:
            for key in (keyring.keys[0], receipt_key):
                keys.publish_key(tx, key.kid, key.public_jwk())
        yield
        aws.forget()


@pytest.fixture
def nobody(cloud: None) -> Client:
    """Somebody who has not signed in."""
    return Client()


@pytest.fixture
def mails(database: Database) -> Callable[[], list[dict[str, Any]]]:
    """The mails in the outbox, oldest first."""

    def read() -> list[dict[str, Any]]:
        rows = database.execute("select payload from core.outbox where topic = 'mail' order by id")
        return [payload for (payload,) in rows]

    return read


@pytest.fixture
def person(nobody: Client, mails: Callable[[], list[dict[str, Any]]]) -> SignUp:
    """Signs people up the way they do it themselves; answers a signed-in client."""

    def sign_up(username: str, timezone: str = "Europe/Berlin") -> Client:
        email = f"{username}@people.test"
        body = {"email": email, "username": username, "password": "long enough for us", "timezone": timezone}
        assert nobody.post("/v1/auth/register", body).status == 202
        token = next(m["values"]["token"] for m in reversed(mails()) if m.get("to") == email)
        session = nobody.post("/v1/auth/verify-email", {"token": token})
        assert session.status == 200, session.text
        return Client(session.json["access_token"], session.json["user"])

    return sign_up


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Sets the clock of the functions. Tokens are checked against the real one, so sign in first."""
    from chally import clock

    def set_clock(instant: datetime) -> None:
        assert instant.tzinfo is not None
        monkeypatch.setattr(clock, "now", lambda: instant)

    return set_clock


@pytest.fixture
def later(at: Callable[[datetime], None]) -> Callable[[timedelta], None]:
    """Moves the clock of the functions on. It stands still, and starts ten minutes ago: tokens made since are good."""
    from chally import clock

    at(clock.now() - timedelta(minutes=10))
    return lambda by: at(clock.now() + by)


@pytest.fixture
def logs() -> Iterator[Callable[[], str]]:
    """What the functions have logged, as text."""
    from chally.log import logger

    stream = io.StringIO()
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(stream)
    yield stream.getvalue
    handler.setStream(before)


@pytest.fixture
def context() -> LambdaContext:
    return LambdaContext()
