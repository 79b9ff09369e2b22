"""Tables of the schema `challenges`: challenges, participants, windows, standings."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LISTED = "visibility = 'public' and status not in ('draft', 'deleted')"
RUNNING = "visibility = 'public' and status = 'active'"

TABLES = (
    """
    create table challenges.challenges (
        id uuid constraint challenges_pkey primary key default uuidv7(),
        owner_id uuid not null constraint challenges_owner_fkey references identity.users (id),
        title text not null constraint challenges_title_length check (length(title) between 1 and 120),
        description text not null default ''
            constraint challenges_description_length check (length(description) <= 2000),
        status text not null default 'draft' constraint challenges_status_known
            check (status in ('draft', 'active', 'paused', 'canceled', 'archived', 'deleted')),
        visibility text not null default 'code' constraint challenges_visibility_known
            check (visibility in ('public', 'private', 'code')),
        invite_code text not null,
        timezone text not null,
        starts_at timestamptz not null,
        ends_at timestamptz not null,
        max_participants integer not null default 100
            constraint challenges_max_participants_range check (max_participants between 1 and 10000),
        participant_count integer not null default 0,
        late_join boolean not null default false,
        roster_visibility text not null default 'participants' constraint challenges_roster_visibility_known
            check (roster_visibility in ('participants', 'owner', 'everyone')),
        rules jsonb not null,
        created_at timestamptz not null default now(),
        invite_code_number integer not null default 1,
        -- since when it has been active without a break: nobody could prove a window that closed during a pause
        runs_since timestamptz not null default 'epoch',
        constraint challenges_period check (starts_at < ends_at),
        constraint challenges_full check (participant_count between 0 and max_participants)
    )
    """,
    "create index challenges_mine on challenges.challenges (owner_id, id desc)",
    f"create index challenges_listed on challenges.challenges (id desc) where {LISTED}",
    f"create index challenges_listed_by_status on challenges.challenges (status, id desc) where {LISTED}",
    f"create index challenges_listed_by_start on challenges.challenges (starts_at) where {RUNNING}",
    f"create index challenges_listed_by_end on challenges.challenges (ends_at) where {RUNNING}",
    f"""
    create index challenges_words on challenges.challenges using gin (challenges.words(title, description))
    where {LISTED}
    """,
    # Partial, and so no constraint: a foreign key cannot refer to the column, which means that a new code needs no lock
    # that makes everyone wait who is joining.
    """
    create unique index challenges_invite_code on challenges.challenges (invite_code)
    where status <> 'deleted'
    """,
    """
    create table challenges.participants (
        id uuid constraint participants_pkey primary key default uuidv7(),
        challenge_id uuid not null
            constraint participants_challenge_fkey references challenges.challenges (id) on delete cascade,
        user_id uuid not null constraint participants_user_fkey references identity.users (id),
        timezone text not null,
        joined_at timestamptz not null,
        -- since when this zone applies: later than joined_at once it has changed
        timezone_since timestamptz not null,
        left_at timestamptz,
        returned_at timestamptz,
        -- the number of the invite code at the time the owner removed them: only a later code lets them in again
        barred_code integer,
        constraint participants_one_per_user unique (challenge_id, user_id)
    )
    """,
    "create index participants_joined on challenges.participants (user_id, id desc)",
    "create index participants_present on challenges.participants (challenge_id, id) where left_at is null",
    """
    create table challenges.windows (
        participant_id uuid not null
            constraint windows_participant_fkey references challenges.participants (id) on delete cascade,
        local_date date not null,
        opens_at timestamptz not null,
        closes_at timestamptz not null,
        timezone text not null,
        tzdata text not null,
        outcome text constraint windows_outcome_known check (outcome in ('accepted', 'missed', 'excused')),
        constraint windows_pkey primary key (participant_id, local_date),
        constraint windows_not_empty check (opens_at < closes_at)
    )
    """,
    "create index windows_undecided on challenges.windows (closes_at) where outcome is null",
    """
    create table challenges.standings (
        participant_id uuid constraint standings_pkey primary key
            constraint standings_participant_fkey references challenges.participants (id) on delete cascade,
        challenge_id uuid not null
            constraint standings_challenge_fkey references challenges.challenges (id) on delete cascade,
        points integer not null default 0,
        current_streak integer not null default 0,
        best_streak integer not null default 0,
        accepted integer not null default 0,
        missed integer not null default 0,
        -- grace days of the scoring that are used up
        grace_spent integer not null default 0,
        -- the date of the newest window that is counted here; null if none is
        last_decided date,
        -- whether the participant takes part: a copy, so that an index finds those who do
        present boolean not null default true
    )
    """,
    # `-points`, because a row comparison can use an index only where all columns are sorted the same way; `points` is
    # included, because with an expression alone the count of those ahead could not be an index-only scan.
    """
    create index standings_ranked
    on challenges.standings (challenge_id, present, (-points), participant_id) include (points)
    """,
    # A participant's reminders are deleted with the participant. The table was made just before, and is empty.
    """
    alter table notifications.reminders
        -- squawk-ignore constraint-missing-not-valid, adding-foreign-key-constraint
        add constraint reminders_participant_fkey foreign key (participant_id)
            references challenges.participants (id) on delete cascade
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in ("challenges", "participants", "windows", "standings"):
        op.execute(f"alter table challenges.{table} enable row level security")
        op.execute(f"alter table challenges.{table} force row level security")
