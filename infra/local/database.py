"""The database of a local system: the embedded Postgres or, by CHALLY_DATABASE_URL, a real one; and its login roles."""

import json
import os
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

from infra.local.postgres import SUPERUSER, Postgres
from infra.local.progress import LocalError
from infra.local.workspace import Workspace, write_private

DATABASE = "chally"
LOGIN_ROLES = ("chally_app", "chally_system")


@dataclass(frozen=True, kw_only=True)
class Urls:
    """The database as each role sees it. The owner is the server's administrator, as whom migrations connect."""

    owner: str = field(repr=False)
    app: str = field(repr=False)
    system: str = field(repr=False)


def external_url() -> str | None:
    """The administrator's URL of a real Postgres that replaces the embedded one, if the user set one."""
    return os.environ.get("CHALLY_DATABASE_URL") or None


def embedded(workspace: Workspace) -> Postgres:
    """The workspace's own Postgres server, running or not."""
    return Postgres(
        directory=workspace.postgres_directory,
        port=workspace.postgres_port,
        password=_passwords(workspace)[SUPERUSER],
    )


def urls(workspace: Workspace) -> Urls:
    """The URLs for the functions and for whoever looks into the database; nothing is connected to."""
    passwords = _passwords(workspace)
    admin = external_url() or embedded(workspace).url()
    return Urls(
        owner=urlsplit(admin)._replace(path=f"/{DATABASE}").geturl(),
        app=_as_role(admin, "chally_app", passwords),
        system=_as_role(admin, "chally_system", passwords),
    )


def prepare(workspace: Workspace) -> None:
    """Creates the database and the login roles, or sets their passwords to those of this workspace.

    Everything else in it is the business of the migrations. Raises LocalError when the server cannot be used.
    """
    passwords = _passwords(workspace)
    admin = external_url() or embedded(workspace).url()
    try:
        with psycopg.connect(admin, autocommit=True, connect_timeout=10) as connection:
            present = {str(name) for (name,) in connection.execute("select rolname from pg_roles")}
            for role in LOGIN_ROLES:
                # Hashed here, so that no log of the server's ever holds a password.
                hashed = connection.pgconn.encrypt_password(passwords[role].encode(), role.encode(), b"scram-sha-256")
                verb = "alter" if role in present else "create"
                connection.execute(
                    sql.SQL("{} role {} login password {}").format(
                        sql.SQL(verb), sql.Identifier(role), sql.Literal(hashed.decode())
                    )
                )
            if not connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
    except psycopg.Error as error:
        fix = (
            "CHALLY_DATABASE_URL must be the URL of an administrator of a Postgres 18 that can be reached from here."
            if external_url()
            else "`make reset` starts from an empty database."
        )
        raise LocalError(f"The database could not be prepared: {str(error).strip()}", fix) from error


def _passwords(workspace: Workspace) -> dict[str, str]:
    """The random passwords, made at the first call. Safe in URLs as they are."""
    try:
        return dict(json.loads(workspace.passwords.read_text()))
    except FileNotFoundError:
        passwords = {role: secrets.token_urlsafe(24) for role in (SUPERUSER, *LOGIN_ROLES)}
        write_private(workspace.passwords, json.dumps(passwords))
        return passwords


def _as_role(admin: str, role: str, passwords: dict[str, str]) -> str:
    parts = urlsplit(admin)
    address = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}:{quote(passwords[role])}@{address}", path=f"/{DATABASE}").geturl()
