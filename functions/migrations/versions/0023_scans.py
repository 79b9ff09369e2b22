"""Scans of uploads for malware."""

from alembic import op

revision = "0023"
down_revision = "0021"
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
                from proofs.fingerprints f where f.user_id = person
            ) x
        ),
        'scans', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.proof_id, x.stored_at), '[]')
            from (
                select s.proof_id, s.stored_at, s.infected, s.signature
                from proofs.scans s join proofs.proofs p on p.id = s.proof_id
                where p.user_id = person
            ) x
        )
    )
"""

FORGET = """
    create or replace function proofs.forget_person(person uuid) returns void
    language sql set search_path = ''
    begin atomic
        delete from proofs.fingerprints where user_id = person;
        delete from proofs.scans
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


def upgrade() -> None:
    op.execute("""
        create table proofs.scans (
            proof_id uuid not null
                constraint scans_proof_fkey references proofs.proofs (id) on delete cascade,
            version_id text not null,
            -- as S3 announced the version; null until it has
            sequencer text,
            stored_at timestamptz,
            -- what the scanner found; null until it has said so
            infected boolean,
            signature text constraint scans_signature_length check (length(signature) between 1 and 100),
            constraint scans_pkey primary key (proof_id, version_id),
            constraint scans_announced check ((sequencer is null) = (stored_at is null)),
            constraint scans_infected_by check ((signature is not null) = coalesce(infected, false))
        )
    """)
    op.execute("alter table proofs.scans enable row level security")
    op.execute("alter table proofs.scans force row level security")
    op.execute("create policy scans_owner on proofs.scans to chally_owner using (true)")
    op.execute("create policy scans_system on proofs.scans to chally_system using (true)")
    op.execute("grant select, insert, update, delete on proofs.scans to chally_system")
    op.execute(EXPORT)
    op.execute(FORGET)
