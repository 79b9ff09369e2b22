"""Registrations, accounts and their sessions."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        create table identity.users (
            id uuid constraint users_pkey primary key default uuidv7(),
            email text not null constraint users_email_length check (length(email) between 3 and 254),
            username text not null constraint users_username_form check (username ~ '^[A-Za-z0-9_]{3,30}$'),
            password_hash text not null,
            timezone text not null constraint users_timezone_length check (length(timezone) <= 64),
            role text not null default 'user'
                constraint users_role_known check (role in ('user', 'moderator', 'admin')),
            email_verified_at timestamptz,
            created_at timestamptz not null default now()
        )
    """)
    op.execute("create unique index users_email_key on identity.users (lower(email))")
    op.execute("create unique index users_username_key on identity.users (lower(username))")

    op.execute("""
        create table identity.sessions (
            id uuid constraint sessions_pkey primary key default uuidv7(),
            user_id uuid not null
                constraint sessions_user_fkey references identity.users (id) on delete cascade,
            -- how often its refresh token was rotated, and when last: see identity.sessions
            generation integer not null default 0,
            rotated_at timestamptz not null,
            created_at timestamptz not null,
            last_seen_at timestamptz not null,
            user_agent text,
            ip inet,
            ended_at timestamptz,
            ended_reason text constraint sessions_ended_reason_known
                check (ended_reason in ('signed_out', 'reuse', 'password_changed')),
            constraint sessions_ended_with_reason check ((ended_at is null) = (ended_reason is null))
        )
    """)
    op.execute("create index sessions_user on identity.sessions (user_id)")

    op.execute("""
        create table identity.refresh_tokens (
            hash bytea constraint refresh_tokens_pkey primary key,
            session_id uuid not null
                constraint refresh_tokens_session_fkey references identity.sessions (id) on delete cascade,
            generation integer not null,
            expires_at timestamptz not null,
            constraint refresh_tokens_one_per_generation unique (session_id, generation)
        )
    """)

    # Who has asked for an account, and not confirmed it. Each row stands for one mail: what its link confirms is what
    # was asked for with it, whatever others ask for with the same address.
    op.execute("""
        create table identity.registrations (
            token_hash bytea constraint registrations_pkey primary key,
            email text not null constraint registrations_email_length check (length(email) between 3 and 254),
            username text not null,
            password_hash text not null,
            timezone text not null,
            created_at timestamptz not null,
            expires_at timestamptz not null
        )
    """)
    op.execute("create index registrations_email on identity.registrations (lower(email))")
    op.execute("create index registrations_username on identity.registrations (lower(username))")
    op.execute("create index registrations_expires_at on identity.registrations (expires_at)")

    # What other contexts may know of a person. The view reads with its owner's rights, so a roster can
    # name people whose rows the reader may not see; it holds nothing that is not public.
    op.execute("create view identity.profiles as select id, username from identity.users")
    # Where to reach a person: for the mailer only.
    op.execute("""
        create view identity.contacts as
        select id, email, username, timezone, email_verified_at is not null as verified from identity.users
    """)

    for table in ("users", "registrations"):
        op.execute(f"""
            create trigger {table}_timezone before insert or update of timezone on identity.{table}
            for each row execute function core.check_timezone()
        """)

    for table in ("users", "sessions", "refresh_tokens", "registrations"):
        op.execute(f"alter table identity.{table} enable row level security")
        op.execute(f"alter table identity.{table} force row level security")
        op.execute(f"create policy {table}_owner on identity.{table} to chally_owner using (true)")
        op.execute(f"create policy {table}_system on identity.{table} to chally_system using (true)")
        op.execute(f"grant select, insert, update, delete on identity.{table} to chally_system")

    op.execute("create policy users_self on identity.users for select to chally_app using (id = core.actor())")
    op.execute("""
        grant select (id, email, username, timezone, role, email_verified_at, created_at)
        on identity.users to chally_app
    """)
    op.execute("grant usage on schema identity to chally_app, chally_system")
    op.execute("grant select on identity.profiles to chally_app, chally_system")
    op.execute("grant select on identity.contacts to chally_system")
