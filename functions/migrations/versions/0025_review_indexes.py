"""Indexes of proofs: what waits for a review, and what a person has in storage; constraints that all rows keep.

Built without blocking writes, and so outside a transaction.
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

INDEXES = {
    "proofs_to_review": "on proofs.proofs (challenge_id, id) where status = 'needs_review'",
    "proofs_stored": "on proofs.proofs (user_id, created_at) include (content_length) where kind = 'photo'",
    "proofs_reviewed": "on proofs.proofs (reviewed_by) where reviewed_by is not null",
}


CONSTRAINTS = ("of_their_kind", "appeal_length", "review_known", "review_reason_length")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, what in INDEXES.items():
            op.execute(f"drop index concurrently if exists proofs.{name}")
            op.execute(f"create index concurrently if not exists {name} {what}")
    for name in CONSTRAINTS:
        op.execute(f"alter table proofs.proofs validate constraint proofs_{name}")
