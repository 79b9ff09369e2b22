"""Proofs that are a text or a number: decided as they are sent, and never uploaded."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        alter table proofs.proofs
            -- of photos, which are all that the code before this reads, they are never null
            -- squawk-ignore ban-drop-not-null
            alter column content_type drop not null,
            -- squawk-ignore ban-drop-not-null
            alter column content_length drop not null,
            -- squawk-ignore ban-drop-not-null
            alter column sha256 drop not null,
            -- squawk-ignore ban-drop-not-null
            alter column object_key drop not null,
            add column value_text text,
            add column value_number double precision
    """)
    op.execute("""
        alter table proofs.proofs
            -- the next constraint says more
            -- squawk-ignore ban-drop-constraint
            drop constraint proofs_kind_known,
            add constraint proofs_of_their_kind check (
                case kind
                    when 'photo' then num_nulls(content_type, content_length, sha256, object_key) = 0
                        and num_nonnulls(value_text, value_number) = 0
                    when 'text' then length(value_text) <= 2000
                        and num_nonnulls(content_type, content_length, sha256, object_key, value_number) = 0
                        and value_text is not null
                    when 'number' then value_number is not null
                        and num_nonnulls(content_type, content_length, sha256, object_key, value_text) = 0
                    else false
                end
            ) not valid
    """)
    op.execute("""
        insert into core.limits (name, quantity, period, per, counts) values
            ('proof', 300, '1 day', 'account', 'proofs sent or asked for, in all challenges'),
            ('proof_challenge', 40, '1 day', 'account', 'proofs sent or asked for, in one challenge')
    """)
