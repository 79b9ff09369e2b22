"""Reminders: every one is an indexed due instant, so that sending never scans."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        create table notifications.reminders (
            participant_id uuid not null
                constraint reminders_participant_fkey references challenges.participants (id) on delete cascade,
            local_date date not null,
            user_id uuid not null constraint reminders_user_fkey references identity.users (id),
            title text not null,
            timezone text not null,
            due_at timestamptz not null,
            closes_at timestamptz not null,
            sent_at timestamptz,
            cleared_at timestamptz,
            constraint reminders_pkey primary key (participant_id, local_date)
        )
    """)
    op.execute("""
        create index reminders_due on notifications.reminders (due_at)
        where sent_at is null and cleared_at is null
    """)
    op.execute("alter table notifications.reminders enable row level security")
    op.execute("alter table notifications.reminders force row level security")
    op.execute("create policy reminders_owner on notifications.reminders to chally_owner using (true)")
    op.execute("create policy reminders_system on notifications.reminders to chally_system using (true)")
    op.execute("grant select, insert, update, delete on notifications.reminders to chally_system")
    # Joining plans one's own reminders; on conflict needs to read them.
    op.execute("""
        create policy reminders_own on notifications.reminders to chally_app
        using (user_id = core.actor()) with check (
            user_id = core.actor()
            and exists (select from challenges.participants p where p.id = participant_id and p.user_id = core.actor())
        )
    """)
    op.execute("""
        grant select, insert (participant_id, local_date, user_id, title, timezone, due_at, closes_at),
        update (title, timezone, due_at, closes_at) on notifications.reminders to chally_app
    """)
    op.execute("grant usage on schema notifications to chally_app, chally_system")
