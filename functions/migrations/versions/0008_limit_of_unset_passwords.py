"""The limit per mailbox of the mail that no password is set."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # on a new database there are no policies yet
    op.execute("alter table core.limits no force row level security")
    op.execute("""
        insert into core.limits (name, quantity, period, per, counts) values
        ('mail_password_unset', 5, '1 day', 'address', 'mails that a new account has no password')
    """)
    op.execute("alter table core.limits force row level security")
