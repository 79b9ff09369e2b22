"""Tables of the schema `identity`: accounts, sessions, links in mails, second factors, passkeys."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = (
    """
    create table identity.users (
        id uuid constraint users_pkey primary key default uuidv7(),
        email text not null constraint users_email_length check (length(email) between 3 and 254),
        username text not null constraint users_username_form check (username ~ '^[A-Za-z0-9_]{3,30}$'),
        password_hash text not null,
        timezone text not null constraint users_timezone_length check (length(timezone) <= 64),
        role text not null default 'user' constraint users_role_known check (role in ('user', 'moderator', 'admin')),
        email_verified_at timestamptz,
        created_at timestamptz not null default now(),
        wants_reminders boolean not null default true,
        deleted_at timestamptz,
        purged_at timestamptz,
        -- quiet hours, on the wall clock of the person's own zone
        quiet_from time,
        quiet_to time,
        -- when the quiet hours, or the zone they are in, last changed
        quiet_since timestamptz,
        constraint users_quiet_hours check (
            quiet_from is null and quiet_to is null or coalesce(quiet_from <> quiet_to, false)
        )
    )
    """,
    "create unique index users_email_key on identity.users (lower(email))",
    "create unique index users_username_key on identity.users (lower(username))",
    "create index users_leaving on identity.users (id) where deleted_at is not null and purged_at is null",
    # Shows whether any bcrypt hash is left. While one is, every sign-in takes as long as a bcrypt check.
    "create index users_bcrypt on identity.users (id) where password_hash like '$2%'",
    """
    create table identity.sessions (
        id uuid constraint sessions_pkey primary key default uuidv7(),
        user_id uuid not null constraint sessions_user_fkey references identity.users (id) on delete cascade,
        -- how often its refresh token was rotated, and when last: see identity.sessions
        generation integer not null default 0,
        rotated_at timestamptz not null,
        created_at timestamptz not null,
        last_seen_at timestamptz not null,
        user_agent text,
        ip inet,
        ended_at timestamptz,
        ended_reason text constraint sessions_ended_reason_known check (
            ended_reason in ('signed_out', 'reuse', 'password_changed', 'second_factor_on', 'account_deleted')
        ),
        authenticated_at timestamptz not null default now(),
        second_factor boolean not null default false,
        constraint sessions_ended_with_reason check ((ended_at is null) = (ended_reason is null))
    )
    """,
    "create index sessions_user on identity.sessions (user_id)",
    "create index sessions_user_ip on identity.sessions (user_id, ip)",
    """
    create table identity.refresh_tokens (
        hash bytea constraint refresh_tokens_pkey primary key,
        session_id uuid not null
            constraint refresh_tokens_session_fkey references identity.sessions (id) on delete cascade,
        generation integer not null,
        expires_at timestamptz not null,
        constraint refresh_tokens_one_per_generation unique (session_id, generation)
    )
    """,
    "create index refresh_tokens_expires_at on identity.refresh_tokens (expires_at)",
    # Registrations that are not confirmed yet. Each row belongs to one mail: its link confirms exactly what was
    # requested with it, even if someone else requests an account with the same address.
    """
    create table identity.registrations (
        token_hash bytea constraint registrations_pkey primary key,
        email text not null constraint registrations_email_length check (length(email) between 3 and 254),
        username text not null,
        password_hash text not null,
        timezone text not null,
        created_at timestamptz not null,
        expires_at timestamptz not null
    )
    """,
    "create index registrations_email on identity.registrations (lower(email))",
    "create index registrations_username on identity.registrations (lower(username))",
    "create index registrations_expires_at on identity.registrations (expires_at)",
    # Links in mails. A newer link replaces the older one of the same purpose and subject. Where the address has no
    # account, `user_id` is random, so that a request leaves the same traces for every address. It is not a foreign key
    # for the same reason: the lookup would take time, and would lock a row only where there is one.
    """
    create table identity.mail_links (
        purpose text not null constraint mail_links_purpose_known
            check (purpose in ('magic_link', 'password_reset', 'email_change', 'unlock')),
        subject text not null,
        token_hash bytea not null constraint mail_links_token_hash_key unique,
        user_id uuid not null,
        email text not null,
        created_at timestamptz not null,
        expires_at timestamptz not null,
        constraint mail_links_pkey primary key (purpose, subject)
    )
    """,
    "create index mail_links_user on identity.mail_links (user_id)",
    "create index mail_links_expires_at on identity.mail_links (expires_at)",
    # Consecutive wrong passwords, by a hash of the login as it was typed, whether or not such an account exists.
    """
    create table identity.login_failures (
        login_hash bytea constraint login_failures_pkey primary key,
        failures integer not null,
        failed_at timestamptz not null
    )
    """,
    "create index login_failures_failed_at on identity.login_failures (failed_at)",
    # Sign-ins that wait for their second factor.
    """
    create table identity.pending_sign_ins (
        token_hash bytea constraint pending_sign_ins_pkey primary key,
        user_id uuid not null constraint pending_sign_ins_user_fkey references identity.users (id) on delete cascade,
        expires_at timestamptz not null
    )
    """,
    "create index pending_sign_ins_user on identity.pending_sign_ins (user_id)",
    "create index pending_sign_ins_expires_at on identity.pending_sign_ins (expires_at)",
    """
    create table identity.totp (
        user_id uuid constraint totp_pkey primary key
            constraint totp_user_fkey references identity.users (id) on delete cascade,
        sealed_secret bytea not null,
        created_at timestamptz not null,
        confirmed_at timestamptz,
        -- the time step (RFC 6238) of the last accepted code: a code works once
        last_step bigint not null default 0
    )
    """,
    """
    create table identity.backup_codes (
        user_id uuid not null constraint backup_codes_user_fkey references identity.users (id) on delete cascade,
        code_hash bytea not null,
        used_at timestamptz,
        constraint backup_codes_pkey primary key (user_id, code_hash)
    )
    """,
    """
    create table identity.passkeys (
        id uuid constraint passkeys_pkey primary key default uuidv7(),
        user_id uuid not null constraint passkeys_user_fkey references identity.users (id) on delete cascade,
        credential_id bytea not null constraint passkeys_credential_id_key unique,
        public_key bytea not null,
        sign_count bigint not null,
        backed_up boolean not null,
        name text not null constraint passkeys_name_length check (length(name) between 1 and 60),
        created_at timestamptz not null,
        last_used_at timestamptz
    )
    """,
    "create index passkeys_user on identity.passkeys (user_id)",
    # `user_id` is null for a sign-in: the authenticator says which account it is.
    """
    create table identity.passkey_challenges (
        challenge bytea constraint passkey_challenges_pkey primary key,
        user_id uuid constraint passkey_challenges_user_fkey references identity.users (id) on delete cascade,
        expires_at timestamptz not null
    )
    """,
    "create index passkey_challenges_user on identity.passkey_challenges (user_id)",
    "create index passkey_challenges_expires_at on identity.passkey_challenges (expires_at)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in (
        "users",
        "sessions",
        "refresh_tokens",
        "registrations",
        "mail_links",
        "login_failures",
        "pending_sign_ins",
        "totp",
        "backup_codes",
        "passkeys",
        "passkey_challenges",
    ):
        op.execute(f"alter table identity.{table} enable row level security")
        op.execute(f"alter table identity.{table} force row level security")
