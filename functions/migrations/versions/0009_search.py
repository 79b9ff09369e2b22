"""What the search reads: a column of words, and its index. The windows job fills it for challenges that exist."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LISTED = "visibility = 'public' and status not in ('draft', 'deleted')"


def upgrade() -> None:
    # It can be run again if it fails part way through: in the block each statement commits by itself, and an index that
    # could not be completed stays, and is invalid.
    # The column is null until `challenges.search` fills it: releases before this one do not write it.
    op.execute("alter table challenges.challenges add column if not exists search tsvector")
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists challenges.challenges_unsearchable")
        op.execute(
            "create index concurrently if not exists challenges_unsearchable on challenges.challenges (id)"
            " where search is null"
        )
        op.execute("drop index concurrently if exists challenges.challenges_search")
        op.execute(
            "create index concurrently if not exists challenges_search on challenges.challenges using gin (search)"
            f" where {LISTED}"
        )
