"""Scans of uploads for malware."""

from alembic import op

revision = "0023"
down_revision = "0021"
branch_labels = None
depends_on = None


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
