"""SQL objects: functions, views, triggers, policies and grants. Their current text stands in `sql/<noun>.sql` files.

A file lies beside the Python noun it serves: `functions/<context>/sql/`, and `chally/sql/` for the schema `core`. It is
edited in place. After the migrations, every file whose SHA-256 differs from the one recorded in `core.sql_files` is
applied, all of them in one transaction. A file can therefore run any number of times:

- Functions and views say `create or replace`. A new signature is a new name; the old function stays for one release.
- Policies and triggers, which Postgres cannot replace, are dropped first (here, not in the file).
- Grants on a table or a function begin with `revoke all`, so that a privilege removed from the file is gone.
- An object whose declaration is gone is reported, and dropped only by an explicit `drop … if exists …;` in a file.
- A release forgets the files that it does not have, so that after a rollback and a new deploy they are applied again.

Comment lines at the top of a file are its headers:

    -- requires: core/actor, challenges/membership    these files come first
    -- fixed: the index challenges_words calls these  applied before the migrations, and never changed
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import psycopg

import chally
from chally.log import logger

FUNCTIONS = Path(__file__).parents[1]
CORE = Path(chally.__file__).parent / "sql"
SCHEMAS = ("core", "identity", "notifications", "challenges", "proofs", "privacy")

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_CREATE = re.compile(r"^create\b[^;(]{,60}", re.MULTILINE | re.IGNORECASE)
_HEADER = re.compile(r"^-- (requires|fixed): *(.+)$")
_DECLARATIONS = re.compile(
    r"^create (?:or replace )?(?P<kind>function|view) (?P<name>\w+\.\w+)"
    r"|^create (?:(?:or replace|constraint) )*(?P<on_table>trigger|policy) (?P<part>\w+)\b.*?\bon (?P<table>\w+\.\w+)",
    re.MULTILINE | re.DOTALL,
)


class FixedFileChanged(Exception):
    """A file that a table's definition relies on was edited after it was applied."""


@dataclass(frozen=True, slots=True, order=True)
class SqlObject:
    """`kind`: function, view, trigger or policy. `name`: schema.name; of triggers and policies schema.table.name."""

    kind: str
    name: str


@dataclass(frozen=True)
class SqlFile:
    """One file; `name` is its context and noun, as in `challenges/windows`."""

    name: str
    text: str

    @cached_property
    def requires(self) -> list[str]:
        """The names of the files that are applied before this one."""
        return [name.strip() for value in self._headers("requires") for name in value.split(",")]

    @cached_property
    def fixed(self) -> bool:
        """Whether a table's definition relies on it."""
        return bool(self._headers("fixed"))

    @cached_property
    def objects(self) -> list[SqlObject]:
        """What it declares, in the order of its text. Raises ValueError for a `create` that it cannot read."""
        text = _COMMENT.sub("", self.text)
        declarations = list(_DECLARATIONS.finditer(text))
        unread = {found.start(): found[0] for found in _CREATE.finditer(text)}
        for found in declarations:
            unread.pop(found.start(), None)
        if unread:
            raise ValueError(
                f"{self.name}: cannot read {', '.join(repr(text) for text in unread.values())}. Write `create or"
                " replace function schema.name(`, `create or replace view schema.name`, or `create policy name on"
                " schema.table`, in lower case and without quotes."
            )
        return [
            SqlObject(found["kind"], found["name"])
            if found["kind"]
            else SqlObject(found["on_table"], f"{found['table']}.{found['part']}")
            for found in declarations
        ]

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def statements(self) -> str:
        """Its text, behind what drops the policies and triggers that it creates."""
        drops = ""
        for found in self.objects:
            if found.kind in ("policy", "trigger"):
                table, _, part = found.name.rpartition(".")
                drops += f"drop {found.kind} if exists {part} on {table};\n"
        return drops + self.text

    def _headers(self, key: str) -> list[str]:
        values = []
        for line in self.text.splitlines():
            if not line.startswith("--"):
                break
            header = _HEADER.match(line)
            if header and header[1] == key:
                values.append(header[2])
        return values


def files() -> list[SqlFile]:
    """Every file, each after those that it requires.

    Raises KeyError when one requires a file that does not exist, and graphlib.CycleError when they require each other.
    """
    paths = {f"core/{path.stem}": path for path in CORE.glob("*.sql")}
    paths |= {f"{path.parts[-3]}/{path.stem}": path for path in FUNCTIONS.glob("*/sql/*.sql")}
    found = {name: SqlFile(name, path.read_text()) for name, path in sorted(paths.items())}
    order = TopologicalSorter({name: file.requires for name, file in found.items()})
    return [found[name] for name in order.static_order()]


def start(connection: psycopg.Connection[Any], release: Iterable[SqlFile]) -> None:
    """Create the record of applied files if there is none, and forget the files that this release does not have."""
    connection.execute("""
        create table if not exists core.sql_files (
            name text constraint sql_files_pkey primary key,
            sha256 text not null,
            applied_at timestamptz not null default now()
        )
    """)
    names = [file.name for file in release]
    connection.execute("delete from core.sql_files where name <> all (%(names)s)", {"names": names})
    connection.commit()


def apply(connection: psycopg.Connection[Any], wanted: Iterable[SqlFile]) -> list[str]:
    """Apply the files that changed, in one transaction; returns their names.

    Raises `FixedFileChanged` when a fixed file is not the one that was applied.
    """
    recorded: dict[str, str] = dict(connection.execute("select name, sha256 from core.sql_files").fetchall())
    applied = []
    for file in wanted:
        if recorded.get(file.name) == file.sha256:
            continue
        if file.fixed and file.name in recorded:
            raise FixedFileChanged(
                f"{file.name}.sql changed, but a table's definition relies on it. Restore it, put the new text under"
                " new names, and let a migration rebuild what uses the old ones."
            )
        connection.execute(file.statements.encode())
        connection.execute(
            "insert into core.sql_files (name, sha256) values (%(name)s, %(sha256)s)"
            " on conflict (name) do update set sha256 = excluded.sha256, applied_at = now()",
            {"name": file.name, "sha256": file.sha256},
        )
        applied.append(file.name)
    connection.commit()
    if applied:
        logger.info("sql_files_applied", files=applied)
    return applied


def report_undeclared(connection: psycopg.Connection[Any], declaring: Sequence[SqlFile]) -> list[SqlObject]:
    """Log the objects in the database that no file declares; returns them. Nothing is dropped here."""
    extra = Counter(in_catalog(connection)) - Counter(found for file in declaring for found in file.objects)
    undeclared = sorted(extra)
    if undeclared:
        logger.warning("undeclared_sql_objects", objects=[f"{found.kind} {found.name}" for found in undeclared])
    return undeclared


def in_catalog(connection: psycopg.Connection[Any]) -> list[SqlObject]:
    """The objects in the database; a function that is overloaded appears once for each signature."""
    rows = connection.execute(
        """
        select 'function', n.nspname || '.' || p.proname
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = any (%(schemas)s)
        union all
        select 'view', n.nspname || '.' || c.relname
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind = 'v' and n.nspname = any (%(schemas)s)
        union all
        select 'trigger', n.nspname || '.' || c.relname || '.' || t.tgname
        from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
        where not t.tgisinternal and n.nspname = any (%(schemas)s)
        union all
        select 'policy', p.schemaname || '.' || p.tablename || '.' || p.policyname
        from pg_policies p where p.schemaname = any (%(schemas)s)
        """,
        {"schemas": list(SCHEMAS)},
    ).fetchall()
    connection.commit()
    return sorted(SqlObject(kind, name) for kind, name in rows)
