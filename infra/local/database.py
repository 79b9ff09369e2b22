"""The database of a local system and its login roles: the embedded Postgres, or a real one at CHALLY_DATABASE_URL."""

import json
import os
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

from infra.local.postgres import SUPERUSER, Postgres
from infra.local.workspace import Workspace, write_private
from infra.tools.process import ToolError

DATABASE = "chally"
LOGIN_ROLES = ("chally_app", "chally_system")


@dataclass(frozen=True, kw_only=True)
class Urls:
    """The database's URL for each role. `owner` is the administrator, as whom migrations connect."""

    owner: str = field(repr=False)
    app: str = field(repr=False)
    system: str = field(repr=False)


def external_url() -> str | None:
    """Return the administrator's URL of a Postgres that replaces the embedded one, if CHALLY_DATABASE_URL is set."""
    return os.environ.get("CHALLY_DATABASE_URL") or None


def embedded(workspace: Workspace) -> Postgres:
    """Return the workspace's own Postgres server, running or not."""
    password = _passwords(workspace)[SUPERUSER]
    return Postgres(directory=workspace.postgres_directory, port=workspace.postgres_port, password=password)


def urls(workspace: Workspace) -> Urls:
    """Return the URLs of the database, without connecting to it."""
    passwords = _passwords(workspace)
    admin = urlsplit(external_url() or embedded(workspace).url())._replace(path=f"/{DATABASE}")
    address = admin.netloc.rpartition("@")[2]
    app, system = (admin._replace(netloc=f"{role}:{quote(passwords[role])}@{address}").geturl() for role in LOGIN_ROLES)
    return Urls(owner=admin.geturl(), app=app, system=system)


def prepare(workspace: Workspace) -> None:
    """Create the database and the login roles, or set the roles' passwords to those of this workspace.

    Migrations create everything else. Raises ToolError if the server cannot be used.
    """
    passwords = _passwords(workspace)
    try:
        with psycopg.connect(
            external_url() or embedded(workspace).url(), autocommit=True, connect_timeout=10
        ) as connection:
            present = {str(name) for (name,) in connection.execute("select rolname from pg_roles")}
            for role in LOGIN_ROLES:
                # hashed here, so that the server's log never contains a password
                hashed = connection.pgconn.encrypt_password(passwords[role].encode(), role.encode(), b"scram-sha-256")
                statement = sql.SQL("{} role {} login password {}").format(
                    sql.SQL("alter" if role in present else "create"), sql.Identifier(role), hashed.decode()
                )
                connection.execute(statement)
            if not connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
    except psycopg.Error as error:
        fix = (
            "CHALLY_DATABASE_URL must be an administrator's URL of a Postgres 18 that is reachable from here."
            if external_url()
            else "`make reset` starts from an empty database."
        )
        raise ToolError(f"The database could not be prepared: {str(error).strip()}", fix) from error


def _passwords(workspace: Workspace) -> dict[str, str]:
    """Return the random passwords, which the first call creates. They need no quoting in URLs."""
    try:
        return dict(json.loads(workspace.passwords.read_text()))
    except FileNotFoundError:
        passwords = {role: secrets.token_urlsafe(24) for role in (SUPERUSER, *LOGIN_ROLES)}
        write_private(workspace.passwords, json.dumps(passwords))
        return passwords
