"""The platform's own tables: outbox, idempotency keys, public signing keys."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        create function core.actor() returns uuid
        language sql stable parallel safe
        -- a setting that was used once in a session reads '' afterwards, not NULL
        return nullif(current_setting('chally.actor', true), '')::uuid
    """)

    # For every column that holds a zone. One unknown name in a table would fail the statement that reads it with all
    # the others: everybody's windows. Postgres raises invalid_parameter_value here, for the one who wrote it.
    op.execute("""
        create function core.check_timezone() returns trigger
        language plpgsql set search_path = '' as $$
        begin
            perform now() at time zone new.timezone;
            return new;
        end
        $$
    """)

    op.execute("""
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
    """)
    op.execute("create index outbox_due on core.outbox (due_at) where delivered_at is null")

    op.execute("""
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
    """)
    op.execute("create index idempotency_keys_created_at on core.idempotency_keys (created_at)")

    op.execute("""
        create table core.signing_keys (
            kid text constraint signing_keys_pkey primary key,
            jwk jsonb not null,
            created_at timestamptz not null default now(),
            verifies_until timestamptz
        )
    """)

    for table in ("outbox", "idempotency_keys", "signing_keys"):
        op.execute(f"alter table core.{table} enable row level security")
        op.execute(f"alter table core.{table} force row level security")
        op.execute(f"create policy {table}_owner on core.{table} to chally_owner using (true)")
        op.execute(f"create policy {table}_system on core.{table} to chally_system using (true)")
        op.execute(f"grant select, insert, update, delete on core.{table} to chally_system")

    # The app role has no part in the outbox: what it holds is sent in our name, and other people's mails lie there.

    op.execute("""
        create policy idempotency_keys_own on core.idempotency_keys to chally_app
        using (user_id = core.actor()) with check (user_id = core.actor())
    """)
    op.execute("grant select, insert, update on core.idempotency_keys to chally_app")

    op.execute("create policy signing_keys_public on core.signing_keys for select to chally_app using (true)")
    op.execute("grant select on core.signing_keys to chally_app")

    op.execute("grant usage on schema core to chally_app, chally_system")
