"""Tables of the schema `core`: outbox, idempotency keys, signing keys, rate limits, audit."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    """
    create table core.outbox (
        id uuid constraint outbox_pkey primary key default uuidv7(),
        topic text not null constraint outbox_topic_known check (topic in ('mail')),
        payload jsonb not null,
        traceparent text,
        created_at timestamptz not null default now(),
        due_at timestamptz not null default now(),
        attempts integer not null default 0,
        delivered_at timestamptz,
        last_error text
    )
    """,
    "create index outbox_due on core.outbox (due_at) where delivered_at is null",
    """
    create table core.idempotency_keys (
        user_id uuid not null,
        key text not null constraint idempotency_keys_key_length check (length(key) between 1 and 255),
        fingerprint bytea not null,
        status integer not null,
        headers jsonb not null,
        body bytea not null,
        created_at timestamptz not null default now(),
        constraint idempotency_keys_pkey primary key (user_id, key)
    )
    """,
    "create index idempotency_keys_created_at on core.idempotency_keys (created_at)",
    """
    create table core.signing_keys (
        kid text constraint signing_keys_pkey primary key,
        jwk jsonb not null,
        created_at timestamptz not null default now(),
        verifies_until timestamptz
    )
    """,
    # A limit allows `quantity` requests in a `period`, in one burst or spread out, counted for each `per` by itself. An
    # operator may change a row: functions read it on every use. The local stage ignores limits per ip, because every
    # client there is 127.0.0.1.
    """
    create table core.limits (
        name text constraint limits_pkey primary key,
        quantity integer not null constraint limits_quantity_positive check (quantity > 0),
        period interval not null constraint limits_period_positive check (period > interval '0'),
        per text not null constraint limits_per_known check (per in ('ip', 'account', 'account and ip', 'address')),
        counts text not null
    )
    """,
    # `full_at` is the theoretical arrival time of GCRA. A row with `full_at` in the past means the same as no row.
    """
    create table core.rate_limits (
        name text not null constraint rate_limits_limit_fkey references core.limits (name) on delete cascade,
        subject bytea not null,
        full_at timestamptz not null,
        constraint rate_limits_pkey primary key (name, subject)
    )
    """,
    "create index rate_limits_full_at on core.rate_limits (full_at)",
    # Who did what to an account, and from where. `user_id` is the account it concerns. Rows are only added.
    """
    create table core.audit (
        id uuid constraint audit_pkey primary key default uuidv7(),
        at timestamptz not null,
        action text not null constraint audit_action_form check (action ~ '^[a-z]+(_[a-z]+)*$'),
        actor_id uuid,
        user_id uuid,
        session_id uuid,
        ip inet,
        user_agent text,
        request_id text,
        detail jsonb not null default '{}'
    )
    """,
    "create index audit_user on core.audit (user_id, id)",
    "create index audit_at on core.audit (at)",
)

LIMITS = """
    insert into core.limits (name, quantity, period, per, counts) values
    ('login_account_ip', 5, '1 minute', 'account and ip', 'sign-in by password'),
    ('login_account', 20, '1 minute', 'account', 'sign-in by password'),
    ('login_ip', 60, '1 minute', 'ip', 'sign-in by password'),
    ('register_address', 10, '1 hour', 'address', 'mails to confirm an address'),
    ('register_ip', 30, '1 hour', 'ip', 'registrations'),
    ('magic_link_address', 3, '1 hour', 'address', 'mails with a sign-in link'),
    ('magic_link_ip', 30, '1 hour', 'ip', 'mails with a sign-in link'),
    ('password_reset_address', 3, '1 hour', 'address', 'mails to set a new password'),
    ('password_reset_ip', 30, '1 hour', 'ip', 'mails to set a new password'),
    ('refresh_ip', 300, '1 minute', 'ip', 'refreshes'),
    ('token_ip', 60, '1 minute', 'ip', 'links followed, second factors tried'),
    ('passkey_ip', 60, '1 minute', 'ip', 'sign-in by passkey'),
    ('passkey_account', 20, '1 hour', 'account', 'passkeys about to be registered'),
    ('second_factor', 10, '1 hour', 'account', 'codes and assertions tried at sign-in'),
    ('factor_check', 10, '1 hour', 'account', 'codes and assertions tried while signed in'),
    ('password_check', 5, '1 minute', 'account', 'one''s own password tried while signed in'),
    ('email_change', 5, '1 hour', 'account', 'mails to confirm another address'),
    ('username_change', 5, '1 day', 'account', 'new usernames'),
    ('export', 3, '1 day', 'account', 'exports of everything held'),
    ('join', 10, '1 hour', 'account', 'joins, by wrong codes too'),
    ('challenge_create', 20, '1 hour', 'account', 'challenges made'),
    ('proof', 300, '1 day', 'account', 'proofs sent or asked for, in all challenges'),
    ('proof_challenge', 40, '1 day', 'account', 'proofs sent or asked for, in one challenge'),
    ('timezone_change', 20, '1 day', 'account', 'changes of the zone of an account, which move its windows'),
    ('timezone_preview', 60, '1 hour', 'account', 'previews of such a change')
"""


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute(LIMITS)
    for table in ("outbox", "idempotency_keys", "signing_keys", "limits", "rate_limits", "audit"):
        op.execute(f"alter table core.{table} enable row level security")
        op.execute(f"alter table core.{table} force row level security")
