"""Brings the database to the newest schema. Runs during a deploy, before the functions that need it.

It connects to the instance itself as the database's administrator (through the proxy, the session would be pinned),
creates missing roles and schemas, and migrates as `chally_owner`, which therefore owns everything: first the tables, by
Alembic, then the functions, views, triggers, policies and grants, by `migrations.objects`.
"""

import time
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from aws_lambda_powertools.metrics import MetricUnit
from sqlalchemy import URL, Connection, create_engine, make_url, text

from chally.log import logger, metrics
from chally.settings import MigrationSettings, load
from migrations import objects

ROLES = {
    "chally_owner": "nologin",
    "chally_app": "login",
    "chally_system": "login",
}
# What row-level security relies on. Postgres sets none of these by default.
UNSAFE_ATTRIBUTES = ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication")
# Postgres lets everyone call these. They store data outside our tables (large objects, the log of changes), or end
# other people's connections; nothing of ours needs them.
REVOKED_FROM_EVERYONE = (
    *("lo_%", "loread", "lowrite", "pg_logical_emit_message"),
    *("pg_cancel_backend", "pg_terminate_backend"),
)
MIGRATIONS = Path(__file__).parent
# The key of an advisory lock: two deploys must not migrate at the same time.
LOCK = 7_245_101


def handler(event: dict[str, Any], context: object) -> dict[str, str]:
    """Migrate to the newest revision. It is safe to repeat: a database that is up to date stays as it is."""
    engine = create_engine(_url(load(MigrationSettings)))
    try:
        with engine.connect() as connection:
            return {"revision": migrate(connection)}
    finally:
        engine.dispose()
        if metrics.metric_set:
            metrics.flush_metrics()


def migrate(connection: Connection) -> str:
    """Create missing roles and schemas, run the pending migrations, apply changed SQL files; returns the revision.

    A revision that this code does not know is that of a newer release. When CloudFormation rolls that release back, it
    runs this older version against the newer schema: migrations are additive, so the schema serves both, and this
    succeeds without touching it. Failing would end the rollback in UPDATE_ROLLBACK_FAILED.
    """
    _take_turns(connection)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    revision = _revision(connection)
    if revision is not None and revision not in _known(config):
        logger.warning("unknown_revision", revision=revision)
        _end(connection)
        return revision
    _prepare(connection)
    connection.commit()
    connection.execute(text("set role chally_owner"))
    # A migration that waits for a lock makes everyone wait behind it: it should rather fail, and the deploy with it.
    connection.execute(text("set lock_timeout = '5s'"))
    connection.execute(text("set statement_timeout = '9min'"))
    connection.commit()
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    files = objects.files()
    objects.start(driver, files)
    objects.apply(driver, [file for file in files if file.fixed])
    command.upgrade(config, "head")
    objects.apply(driver, [file for file in files if not file.fixed])
    if undeclared := objects.report_undeclared(driver, files):
        metrics.add_metric("UndeclaredSqlObjects", MetricUnit.Count, len(undeclared))
    revision = _revision(connection)
    _end(connection)
    logger.info("migrated", revision=revision)
    return str(revision)


def _revision(connection: Connection) -> str | None:
    """The revision that the database is at; None before the first migration."""
    if connection.execute(text("select to_regclass('core.schema_version')")).scalar_one() is None:
        return None
    found = connection.execute(text("select version_num from core.schema_version")).scalar_one_or_none()
    return str(found) if found is not None else None


def _known(config: Config) -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def _end(connection: Connection) -> None:
    connection.execute(text("reset all"))
    connection.execute(text("reset role"))
    connection.execute(text("select pg_advisory_unlock(:lock)"), {"lock": LOCK})
    connection.commit()


def _take_turns(connection: Connection) -> None:
    """Wait for another deploy that is migrating. This polls, because CREATE INDEX CONCURRENTLY waits for every running
    statement: a statement that waited for the lock would deadlock with it.
    """
    while not connection.execute(text("select pg_try_advisory_lock(:lock)"), {"lock": LOCK}).scalar_one():
        connection.commit()
        time.sleep(0.5)


class UnsafeRole(Exception):
    """A role of the functions may ignore row-level security."""


def _prepare(connection: Connection) -> None:
    present = set(connection.execute(text("select rolname from pg_roles")).scalars())
    for role, login in ROLES.items():
        if role not in present:
            connection.execute(text(f"create role {role} {login}"))
    _check_roles(connection)
    _revoke_from_everyone(connection)
    # Bounds how long a killed function holds a row lock, and how long one slow statement makes others wait.
    connection.execute(text("alter role chally_app set statement_timeout = '10s'"))
    connection.execute(text("alter role chally_app set transaction_timeout = '30s'"))
    connection.execute(text("alter role chally_system set statement_timeout = '2min'"))
    connection.execute(text("alter role chally_system set transaction_timeout = '5min'"))
    for role in ("chally_app", "chally_system"):
        connection.execute(text(f"alter role {role} set lock_timeout = '5s'"))
        connection.execute(text(f"alter role {role} set idle_in_transaction_session_timeout = '30s'"))
    if "rds_iam" in present:  # on RDS the roles can sign in with IAM tokens only
        connection.execute(text("grant rds_iam to chally_app, chally_system"))
    connection.execute(text("grant chally_owner to current_user with inherit true, set true"))
    database = connection.execute(text("select quote_ident(current_database())")).scalar_one()
    connection.execute(text(f"revoke all on database {database} from public"))
    connection.execute(text(f"grant connect on database {database} to chally_app, chally_system"))
    connection.execute(text(f"grant create on database {database} to chally_owner"))
    connection.execute(text("revoke all on schema public from public"))
    for schema in objects.SCHEMAS:
        connection.execute(text(f"create schema if not exists {schema} authorization chally_owner"))
        connection.execute(text(f"grant usage on schema {schema} to chally_app, chally_system"))


def _check_roles(connection: Connection) -> None:
    """Raise `UnsafeRole` if somebody gave a role an attribute, or a role's rights, that ends its limits."""
    unsafe = " or ".join(UNSAFE_ATTRIBUTES)
    roles = {"roles": ["chally_app", "chally_system"]}
    found = connection.execute(text(f"select rolname from pg_roles where rolname = any(:roles) and ({unsafe})"), roles)
    members = connection.execute(
        text(
            "select distinct member::regrole::text from pg_auth_members where member::regrole::text = any(:roles)"
            " and roleid::regrole::text <> 'rds_iam'"
        ),
        roles,
    )
    names = sorted({*found.scalars(), *members.scalars()})
    if names:
        raise UnsafeRole(
            f"{' and '.join(names)} must have no attributes and no other role's rights, because row-level security"
            f" would not apply. Run: alter role {names[0]} nosuperuser nobypassrls nocreaterole nocreatedb"
            " noreplication; and revoke the roles that it is a member of."
        )


def _revoke_from_everyone(connection: Connection) -> None:
    """Let nobody but a superuser call the functions of `REVOKED_FROM_EVERYONE`.

    RDS has no superuser who could revoke them. There they are reported, and stay.
    """
    public = text(
        "select oid::regprocedure::text from pg_proc where pronamespace = 'pg_catalog'::regnamespace"
        " and proname like any(:names) and has_function_privilege('public', oid, 'execute') order by 1"
    )
    names = {"names": [name.replace("_", "\\_") for name in REVOKED_FROM_EVERYONE]}
    for function in connection.execute(public, names).scalars().all():
        connection.execute(text(f"revoke execute on function pg_catalog.{function} from public"))
    remaining = connection.execute(public, names).scalars().all()
    if remaining:
        logger.warning("functions_open_to_everyone", functions=remaining)


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
        # encrypted inside the VPC, without verification: a private authority of RDS signs the instance's certificate
        query={"sslmode": "require"},
    )
