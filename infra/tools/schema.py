"""`make schema`: writes functions/migrations/schema.sql, the whole database schema in one file for readers."""

import re
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from infra.local.postgres import BINARIES, Postgres
from infra.local.workspace import free_port
from infra.tools.bootstrap import ROOT

SCHEMA = ROOT / "functions" / "migrations" / "schema.sql"

_HEADER = """\
-- The whole schema, as a migrated database has it. Written by `make schema` for readers: edit the migrations (tables)
-- and the sql/ files (functions, views, triggers, policies, grants), not this file.

"""
# What pg_dump prints for psql, and its comments, which repeat what the statements say.
_NOISE = re.compile(r"^(?:--.*|\\(?:un)?restrict .*|SET .*|SELECT pg_catalog\.set_config\(.*)\n", re.MULTILINE)
_FUNCTION_BODY = re.compile(r"AS \$\$.*?\$\$;", re.DOTALL)


def dump(url: str) -> str:
    """The schema of a migrated database as SQL text; equal databases have equal texts."""
    command = [str(BINARIES / "pg_dump"), "--schema-only", "--no-owner", "--exclude-schema=public", "--dbname", url]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    bodies: list[str] = []

    def set_aside(body: re.Match[str]) -> str:
        bodies.append(body[0])
        return f"AS $body{len(bodies) - 1}$;"

    text = _NOISE.sub("", _FUNCTION_BODY.sub(set_aside, printed))
    text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    return _HEADER + re.sub(r"AS \$body(\d+)\$;", lambda place: bodies[int(place[1])], text)


def main() -> int:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    from migrations.handler import migrate

    with tempfile.TemporaryDirectory(prefix="chally-schema-", ignore_cleanup_errors=True) as directory:
        server = Postgres(directory=Path(directory) / "postgres", port=free_port(), password=secrets.token_urlsafe())
        server.start()
        try:
            url = server.url().replace("postgresql://", "postgresql+psycopg://")
            with create_engine(url, poolclass=NullPool).connect() as connection:
                migrate(connection)
            text = dump(server.url())
        finally:
            server.stop()
    SCHEMA.write_text(text)
    print(f"{SCHEMA.relative_to(ROOT)}: {len(text.splitlines()):,} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
