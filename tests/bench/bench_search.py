"""A page of a search, compared with the former one (words as they are typed, tokens made in SQL), and what it costs to
make a text searchable. Both read the same 100,000 challenges as the app's owner of `find_public` does.

.venv/bin/python -m tests.bench.bench_search
"""

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg

from challenges import words
from tests.bench.bench_standings import connected
from tests.bench.side_by_side import ratio

CHALLENGES = 100_000
NOW = datetime(2026, 9, 1, tzinfo=UTC)
# Frequent, rare, absent, and two words; the search for one letter reads the most entries of the index.
TYPED = ("run", "zebra", "nowhere", "run rain", "r")
# The former search finds none of these where they should be found.
NEW = ("勉強", "本", "c++", "🏃", "cafe", "strasse")

PAGE = "select * from challenges.{search}, null, %(now)s, null, 0, 26)"
FORMER = PAGE.format(search="discover(%(typed)s")
CURRENT = PAGE.format(search="find_public(%(query)s::tsquery")


def text(n: int) -> tuple[str, str]:
    """A title and a description. One challenge in 500 has a word that is rare."""
    rare = {3: " zebra", 4: " 日本語の勉強", 5: " C++", 6: " 🏃", 7: " Café", 8: " Straße"}.get(n % 500, "")
    return f"Run {n}{rare}", "Every morning, rain or shine. " * 10


def fill(connection: psycopg.Connection[Any]) -> float:
    """Insert the challenges; return the seconds that their documents took in Python."""
    began = time.process_time()
    rows = [(*text(n), words.document(*text(n)), str(n)) for n in range(CHALLENGES)]
    took = time.process_time() - began
    connection.execute("set session_replication_role = replica")
    connection.execute(
        b"""
        insert into challenges.challenges
            (owner_id, title, description, search, status, visibility, invite_code, timezone, starts_at, ends_at, rules)
        select (select min(id::text)::uuid from identity.users), t.title, t.description, t.search::tsvector, 'active',
               'public', t.code, 'UTC', %(now)s, %(until)s, '{}'
        from unnest(%(titles)s::text[], %(descriptions)s::text[], %(searches)s::text[], %(codes)s::text[])
            as t (title, description, search, code)
        """,
        {"now": NOW, "until": NOW + timedelta(days=30)}
        | dict(zip(("titles", "descriptions", "searches", "codes"), map(list, zip(*rows, strict=True)), strict=True)),
    )
    connection.execute("set session_replication_role = origin")
    connection.execute("vacuum analyze challenges.challenges")
    return took


def page(connection: psycopg.Connection[Any], sql: str, typed: str) -> int:
    values = {"typed": typed, "query": words.query(typed), "now": NOW}
    return len(connection.execute(sql.encode(), values).fetchall())


def main() -> None:
    with connected() as connection:
        print(f"documents: {fill(connection) / CHALLENGES * 1e6:.0f} microseconds each, of 310 characters")
        for typed in (*TYPED, *NEW):
            current, former = (partial(page, connection, sql, typed) for sql in (CURRENT, FORMER))
            print(f"{typed:<10} {ratio(current, former)}   finds {current()}, formerly {former()}")
        longest, short = (partial(page, connection, CURRENT, typed) for typed in ("日" * 50 + " r" * 25, "run"))
        print(f"{'longest':<10} {ratio(longest, short)}   than a search for run")
        sizes = (
            "select pg_size_pretty(pg_relation_size(('challenges.' || name)::regclass)) from unnest(%s::text[]) as name"
        )
        (now,), (before,) = connection.execute(sizes, [["challenges_search", "challenges_words"]]).fetchall()
        print(f"indexes: {now}, formerly {before}")


if __name__ == "__main__":
    main()
