"""Proofs that are a text or a number: decided as they are sent, and never uploaded."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

EXPORT = """
    create or replace function proofs.export_person(person uuid) returns jsonb
    language sql stable set search_path = ''
    return jsonb_build_object(
        'proofs', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
            from (
                select p.id, p.challenge_id, p.participant_id, p.local_date, p.opens_at, p.closes_at, p.kind,
                    p.status, p.reasons, p.note, p.captured_at, p.content_type, p.content_length,
                    encode(p.sha256, 'hex') as sha256, p.value_text, p.value_number, p.stored_at, p.decided_at,
                    p.created_at
                from proofs.proofs p where p.user_id = person
            ) x
        ),
        'fingerprints', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.proof_id), '[]')
            from (
                select f.proof_id, f.challenge_id, encode(f.sha256, 'hex') as sha256, f.pdq::text as pdq, f.quality
                from proofs.fingerprints f join proofs.proofs p on p.id = f.proof_id
                where p.user_id = person
            ) x
        )
    )
"""

# The verdict stays, without what was proven with.
FORGET = """
    create or replace function proofs.forget_person(person uuid) returns void
    language sql set search_path = ''
    begin atomic
        delete from proofs.fingerprints
        where proof_id in (select p.id from proofs.proofs p where p.user_id = person);
        update proofs.proofs set
            note = null, captured_at = null,
            sha256 = case kind when 'photo' then decode(repeat('00', 32), 'hex') end,
            object_key = case kind when 'photo' then 'forgotten/' || id end,
            value_text = case kind when 'text' then '' end,
            value_number = case kind when 'number' then 0 end,
            sequencer = null
        where user_id = person;
    end
"""

# Of photos only: what was typed has no file.
OBJECTS = """
    create or replace function proofs.objects_of_person(person uuid) returns table (key text, name text)
    language sql stable set search_path = ''
    begin atomic
        select p.object_key,
            'photos/' || p.local_date || '_' || p.id || case p.content_type
                when 'image/jpeg' then '.jpg' when 'image/png' then '.png' when 'image/webp' then '.webp'
                else '.bin' end
        from proofs.proofs p
        where p.user_id = person and p.kind = 'photo' and p.object_key not like 'forgotten/%'
        order by p.id;
    end
"""


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
    for function in (EXPORT, FORGET, OBJECTS):
        op.execute(function)
    op.execute("""
        insert into core.limits (name, quantity, period, per, counts) values
            ('proof', 300, '1 day', 'account', 'proofs sent or asked for, in all challenges'),
            ('proof_challenge', 40, '1 day', 'account', 'proofs sent or asked for, in one challenge')
    """)
