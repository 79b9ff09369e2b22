"""Limits of every write that had none, and per mailbox of the mails that somebody else can cause.

A template without a row here has no limit.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LIMITS = """
    insert into core.limits (name, quantity, period, per, counts) values
    ('mail_verify_email', 10, '1 day', 'address', 'mails to confirm an address'),
    ('mail_account_exists', 5, '1 day', 'address', 'mails that an address has an account already'),
    ('mail_magic_link', 30, '1 day', 'address', 'mails with a sign-in link'),
    ('mail_password_reset', 30, '1 day', 'address', 'mails to set a new password'),
    ('mail_email_change', 5, '1 day', 'address', 'mails to confirm another address'),
    ('mail_unlock', 5, '1 day', 'address', 'mails about many wrong passwords'),
    ('mail_proof_rejected', 60, '1 day', 'address', 'mails about a rejected proof'),
    ('mail_proof_reviewed', 30, '1 day', 'address', 'mails about a reviewed proof'),
    ('mail_review_wanted', 60, '1 day', 'address', 'mails to an owner about a proof to review'),
    ('mail_moderation_wanted', 200, '1 day', 'address', 'mails to a moderator about a proof to review'),
    ('challenge_change', 120, '1 hour', 'account', 'changes of challenges and of who takes part, and leaving'),
    ('review', 300, '1 hour', 'account', 'reviews of proofs'),
    ('review_proof', 5, '1 day', 'account', 'reviews of one proof'),
    ('proof_change', 60, '1 hour', 'account', 'appeals, and proofs taken back'),
    ('profile_change', 60, '1 hour', 'account', 'changes of one''s own account'),
    ('session_end', 60, '1 hour', 'account', 'ends of one''s own sessions'),
    ('passkey_change', 30, '1 hour', 'account', 'passkeys registered and removed'),
    ('totp_setup', 10, '1 hour', 'account', 'set-ups of an authenticator app'),
    ('deletion', 10, '1 day', 'account', 'deletions of the account, by wrong passwords too')
"""


def upgrade() -> None:
    # on a new database there are no policies yet
    op.execute("alter table core.limits no force row level security")
    op.execute(LIMITS)
    op.execute("alter table core.limits force row level security")
