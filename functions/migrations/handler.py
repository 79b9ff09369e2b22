"""Brings the database to the newest schema. Runs during deploy, before the functions that need it.

It connects as the database's administrator to the instance itself (the proxy would pin), makes the roles and
schemas where they are missing, and migrates as `chally_owner`, which therefore owns everything.
"""

import time
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, create_engine, make_url, text

from chally.log import logger
from chally.settings import MigrationSettings, load

ROLES = {
    "chally_owner": "nologin",
    "chally_app": "login",
    "chally_system": "login",
}
SCHEMAS = ("core", "identity", "challenges", "proofs", "notifications")
MIGRATIONS = Path(__file__).parent
# Any number that is ours: two deploys at once must not migrate side by side.
LOCK = 7_245_101


def handler(event: dict[str, Any], context: object) -> dict[str, str]:
    """Migrate to head. Safe to repeat: a database that is there already is left as it is."""
    engine = create_engine(_url(load(MigrationSettings)))
    try:
        with engine.connect() as connection:
            return {"revision": migrate(connection)}
    finally:
        engine.dispose()


def migrate(connection: Connection) -> str:
    """Create roles and schemas where missing, run the open migrations; answers the revision reached."""
    _take_turns(connection)
    _prepare(connection)
    connection.commit()
    connection.execute(text("set role chally_owner"))
    # A migration that waits for a lock makes everybody wait behind it: better it fails, and the deploy with it.
    connection.execute(text("set lock_timeout = '5s'"))
    connection.execute(text("set statement_timeout = '9min'"))
    connection.commit()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    revision = connection.execute(text("select version_num from core.schema_version")).scalar_one()
    connection.execute(text("reset all"))
    connection.execute(text("reset role"))
    connection.execute(text("select pg_advisory_unlock(:lock)"), {"lock": LOCK})
    connection.commit()
    logger.info("migrated", revision=revision)
    return str(revision)


def _take_turns(connection: Connection) -> None:
    """Wait for another deploy that migrates. Asking, not waiting inside a statement: CREATE INDEX CONCURRENTLY waits
    for every statement that is running, and the two would wait for each other.
    """
    while not connection.execute(text("select pg_try_advisory_lock(:lock)"), {"lock": LOCK}).scalar_one():
        connection.commit()
        time.sleep(0.5)


def _prepare(connection: Connection) -> None:
    present = set(connection.execute(text("select rolname from pg_roles")).scalars())
    for role, login in ROLES.items():
        if role not in present:
            connection.execute(text(f"create role {role} {login}"))
    # A function that was killed must not hold a challenge's row for ever, nor one slow statement everybody's.
    connection.execute(text("alter role chally_app set statement_timeout = '10s'"))
    connection.execute(text("alter role chally_app set transaction_timeout = '30s'"))
    connection.execute(text("alter role chally_system set statement_timeout = '2min'"))
    connection.execute(text("alter role chally_system set transaction_timeout = '5min'"))
    for role in ("chally_app", "chally_system"):
        connection.execute(text(f"alter role {role} set lock_timeout = '5s'"))
        connection.execute(text(f"alter role {role} set idle_in_transaction_session_timeout = '30s'"))
    if "rds_iam" in present:  # on RDS the roles sign in with IAM tokens, and with nothing else
        connection.execute(text("grant rds_iam to chally_app, chally_system"))
    connection.execute(text("grant chally_owner to current_user with inherit true, set true"))
    database = connection.execute(text("select quote_ident(current_database())")).scalar_one()
    connection.execute(text(f"revoke all on database {database} from public"))
    connection.execute(text(f"grant connect on database {database} to chally_app, chally_system"))
    connection.execute(text(f"grant create on database {database} to chally_owner"))
    connection.execute(text("revoke all on schema public from public"))
    for schema in SCHEMAS:
        connection.execute(text(f"create schema if not exists {schema} authorization chally_owner"))


def _url(settings: MigrationSettings) -> URL:
    if settings.database_owner_url is not None:
        return make_url(settings.database_owner_url.get_secret_value()).set(drivername="postgresql+psycopg")
    from aws_lambda_powertools.utilities import parameters

    secret = parameters.get_secret(settings.database_secret_arn or "", transform="json")
    return URL.create(
        "postgresql+psycopg",
        username=secret["username"],
        password=secret["password"],
        host=settings.database_host,
        port=settings.database_port,
        database=settings.database_name,
        # encrypted, and inside the VPC; the instance's certificate comes from a private authority of RDS
        query={"sslmode": "require"},
    )
