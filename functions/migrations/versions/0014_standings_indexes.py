"""The index of the standings: built without blocking writes, and so outside a transaction.

It is dropped first: a build that was interrupted leaves an index that is not valid.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists challenges.standings_ranked")
        # `-points`, because a row comparison finds its place in an index only where all columns go one way; `points`
        # besides, because an expression alone does not let the count of who is ahead keep to the index.
        op.execute("""
            create index concurrently if not exists standings_ranked
            on challenges.standings (challenge_id, present, (-points), participant_id) include (points)
        """)
        op.execute("drop index concurrently if exists challenges.standings_ranking")
