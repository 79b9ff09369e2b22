"""Indexes of reminders, what their rows were derived from, and what their tables hold checked: without blocking
anybody, and so outside a transaction.

Each index is dropped first: a build that was interrupted leaves an index that is not valid.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

INDEXES = {
    # what is neither sent, cleared nor given up: as small as what is to come
    "reminders_pending": "(due_at) where sent_at is null and cleared_at is null and skipped is null",
    # partial, too: taking a reminder then writes to no index but the key's
    "reminders_person": "(user_id, closes_at) where sent_at is null and cleared_at is null",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("""
            update notifications.reminders r
            set opens_at = w.opens_at, nominal_at = r.due_at, planned_at = least(r.due_at, now())
            from challenges.windows w
            where w.participant_id = r.participant_id and w.local_date = r.local_date
              and r.sent_at is null and r.closes_at > now() and r.nominal_at is null
        """)
        for name, what in INDEXES.items():
            op.execute(f"drop index concurrently if exists notifications.{name}")
            op.execute(f"create index concurrently if not exists {name} on notifications.reminders {what}")
        # what was given up would stay in it for ever
        op.execute("drop index concurrently if exists notifications.reminders_due")
    op.execute("alter table identity.users validate constraint users_quiet_hours")
    op.execute("alter table notifications.reminders validate constraint reminders_skipped_known")
    op.execute("alter table notifications.reminders validate constraint reminders_due_or_skipped")
