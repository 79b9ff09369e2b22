"""Indexes of the lists of challenges: built without blocking writes, and so outside a transaction.

Each is dropped first: a build that was interrupted leaves an index that is not valid.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

LISTED = "visibility = 'public' and status not in ('draft', 'deleted')"
RUNNING = "visibility = 'public' and status = 'active'"

INDEXES = {
    "challenges_mine": "on challenges.challenges (owner_id, id desc)",
    "challenges_listed": f"on challenges.challenges (id desc) where {LISTED}",
    "challenges_listed_by_status": f"on challenges.challenges (status, id desc) where {LISTED}",
    "challenges_listed_by_start": f"on challenges.challenges (starts_at) where {RUNNING}",
    "challenges_listed_by_end": f"on challenges.challenges (ends_at) where {RUNNING}",
    "challenges_words": f"on challenges.challenges using gin (challenges.words(title, description)) where {LISTED}",
    "participants_joined": "on challenges.participants (user_id, id desc)",
    "participants_present": "on challenges.participants (challenge_id, id) where left_at is null",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, what in INDEXES.items():
            op.execute(f"drop index concurrently if exists challenges.{name}")
            op.execute(f"create index concurrently if not exists {name} {what}")
        # In place of the constraint, and partial: a foreign key cannot point to its column, so that a new code needs
        # no lock that waits for everybody who is joining.
        op.execute("drop index concurrently if exists challenges.challenges_invite_code")
        op.execute("""
            create unique index concurrently if not exists challenges_invite_code on challenges.challenges (invite_code)
            where status <> 'deleted'
        """)
        # their successors begin with the same column
        op.execute("drop index concurrently if exists challenges.challenges_owner")
        op.execute("drop index concurrently if exists challenges.participants_user")
        op.execute("drop index concurrently if exists challenges.participants_roster")
    op.execute("""
        alter table challenges.challenges
            -- the index above holds it
            -- squawk-ignore ban-drop-constraint
            drop constraint if exists challenges_invite_code_key
    """)
