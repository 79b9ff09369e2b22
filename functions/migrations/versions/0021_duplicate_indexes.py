"""Indexes of the search for duplicates: built without blocking writes, and so outside a transaction.

Each is dropped first: a build that was interrupted leaves an index that is not valid.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

INDEXES = {
    "fingerprints_user": "on proofs.fingerprints (user_id)",
    # Written at once: a list of what is pending would be read by every search. Pictures that show too little are never
    # compared, and are all alike.
    "fingerprints_near": """
        on proofs.fingerprints using gin (proofs.fingerprint_keys(challenge_id, user_id, pdq))
        with (fastupdate = off) where quality > 49
    """,
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, what in INDEXES.items():
            op.execute(f"drop index concurrently if exists proofs.{name}")
            op.execute(f"create index concurrently if not exists {name} {what}")
    op.execute("alter table proofs.fingerprints validate constraint fingerprints_user_known")
