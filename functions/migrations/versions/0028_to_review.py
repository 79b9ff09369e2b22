"""What waits for a review is found without reading the rest of its challenge.

The index is built without blocking writes, and so outside a transaction. It is dropped first: a build that was
interrupted leaves one that is not valid.
"""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists proofs.proofs_to_review")
        op.execute("""
            create index concurrently if not exists proofs_to_review on proofs.proofs (challenge_id, id)
            where status = 'needs_review'
        """)
