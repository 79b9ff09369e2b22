"""Indexes on tables of accounts that are in use: built without blocking writes, and so outside a transaction.

Each is dropped first: a build that was interrupted leaves an index that is not valid.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # Whether any hash of the former Chally is left: then every sign-in takes as long as one of those.
        op.execute("drop index concurrently if exists identity.users_bcrypt")
        op.execute("""
            create index concurrently if not exists users_bcrypt on identity.users (id)
            where password_hash like '$2%'
        """)
        op.execute("drop index concurrently if exists identity.sessions_user_ip")
        op.execute("create index concurrently if not exists sessions_user_ip on identity.sessions (user_id, ip)")
