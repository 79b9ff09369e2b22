"""What the search reads: a column of words, filled for every challenge, and its index."""

from typing import Any

import psycopg
from alembic import context, op

from challenges import search
from chally.db import Tx

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LISTED = "visibility = 'public' and status not in ('draft', 'deleted')"
BATCH = 1_000


def _fill(driver: psycopg.Connection[Any]) -> int:
    with driver.transaction():
        return search.fill(Tx(driver, None), BATCH)


def upgrade() -> None:
    # It can be run again if it fails part way through: in the block each statement commits by itself, and an index that
    # could not be completed stays, and is invalid.
    # The column is null until `challenges.search` fills it: the release before this one does not write it.
    op.execute("alter table challenges.challenges add column if not exists search tsvector")
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists challenges.challenges_unsearchable")
        op.execute(
            "create index concurrently if not exists challenges_unsearchable on challenges.challenges (id)"
            " where search is null"
        )
        if not context.is_offline_mode():
            driver = op.get_bind().connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            while _fill(driver) == BATCH:
                pass
        op.execute("drop index concurrently if exists challenges.challenges_search")
        op.execute(
            "create index concurrently if not exists challenges_search on challenges.challenges using gin (search)"
            f" where {LISTED}"
        )
