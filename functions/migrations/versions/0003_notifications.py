"""Tables of the schema `notifications`: reminders. Each has an indexed due instant, so that sending never scans."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = (
    # What challenges asks for: a reminder before a window closes.
    """
    create type notifications.reminder_window as (
        participant_id uuid, local_date date, user_id uuid, title text, timezone text, opens_at timestamptz,
        closes_at timestamptz, before_close_minutes integer
    )
    """,
    """
    create table notifications.reminders (
        participant_id uuid not null,
        local_date date not null,
        user_id uuid not null constraint reminders_user_fkey references identity.users (id),
        title text not null,
        timezone text not null,
        -- null where it was clear at planning that there would be no mail
        due_at timestamptz,
        closes_at timestamptz not null,
        sent_at timestamptz,
        cleared_at timestamptz,
        opens_at timestamptz,
        -- the instant that the challenge's rules name, before quiet hours
        nominal_at timestamptz,
        -- when `due_at` was computed, from the preferences at that instant
        planned_at timestamptz,
        -- the `quiet_since` of the preferences it was computed from
        planned_by timestamptz,
        -- why no mail was sent
        skipped text constraint reminders_skipped_known
            check (skipped in ('closed', 'stopped', 'left', 'unwanted', 'quiet')),
        constraint reminders_pkey primary key (participant_id, local_date),
        constraint reminders_due_or_skipped check (due_at is not null or skipped is not null)
    )
    """,
    # Holds only what is neither sent, cleared nor skipped: as small as what is still to come.
    """
    create index reminders_pending on notifications.reminders (due_at)
    where sent_at is null and cleared_at is null and skipped is null
    """,
    # Partial, so that taking a reminder writes to no index but the primary key's.
    """
    create index reminders_person on notifications.reminders (user_id, closes_at)
    where sent_at is null and cleared_at is null
    """,
    "alter table notifications.reminders enable row level security",
    "alter table notifications.reminders force row level security",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
