"""Tables of the schema `privacy`: exports of personal data."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = (
    # `leased_until`: while a function builds the export, for at most the lifetime of a function. An export whose lease
    # ran out is built again.
    """
    create table privacy.exports (
        id uuid constraint exports_pkey primary key default uuidv7(),
        user_id uuid not null constraint exports_user_fkey references identity.users (id) on delete cascade,
        requested_at timestamptz not null,
        built_at timestamptz,
        object_key text,
        size bigint,
        expires_at timestamptz,
        attempts integer not null default 0,
        leased_until timestamptz
    )
    """,
    "create index exports_user on privacy.exports (user_id, id)",
    # Each account has at most one export in progress: a request meanwhile refers to that one.
    "create unique index exports_one_under_way on privacy.exports (user_id) where built_at is null",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    op.execute("alter table privacy.exports enable row level security")
    op.execute("alter table privacy.exports force row level security")
