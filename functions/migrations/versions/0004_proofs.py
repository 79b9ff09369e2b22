"""Proofs and their fingerprints."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        create table proofs.proofs (
            id uuid constraint proofs_pkey primary key default uuidv7(),
            challenge_id uuid not null
                constraint proofs_challenge_fkey references challenges.challenges (id) on delete cascade,
            participant_id uuid not null
                constraint proofs_participant_fkey references challenges.participants (id) on delete cascade,
            user_id uuid not null constraint proofs_user_fkey references identity.users (id),
            local_date date not null,
            opens_at timestamptz not null,
            closes_at timestamptz not null,
            kind text not null default 'photo' constraint proofs_kind_known check (kind in ('photo')),
            status text not null default 'awaiting_upload' constraint proofs_status_known
                check (status in ('awaiting_upload', 'processing', 'accepted', 'rejected', 'needs_review', 'replaced')),
            reasons jsonb not null default '[]',
            note text constraint proofs_note_length check (length(note) <= 500),
            captured_at timestamptz,
            content_type text not null,
            content_length bigint not null constraint proofs_content_length_positive check (content_length > 0),
            sha256 bytea not null constraint proofs_sha256_length check (length(sha256) = 32),
            object_key text not null constraint proofs_object_key_key unique,
            -- of the newest object version that was decided: S3 events come twice, late and out of order
            sequencer text,
            stored_at timestamptz,
            decided_at timestamptz,
            created_at timestamptz not null
        )
    """)
    op.execute("create index proofs_challenge on proofs.proofs (challenge_id, id)")
    op.execute("create index proofs_window on proofs.proofs (participant_id, local_date)")

    op.execute("""
        create table proofs.fingerprints (
            proof_id uuid constraint fingerprints_pkey primary key
                constraint fingerprints_proof_fkey references proofs.proofs (id) on delete cascade,
            challenge_id uuid not null
                constraint fingerprints_challenge_fkey references challenges.challenges (id) on delete cascade,
            sha256 bytea not null,
            pdq bit(256) not null,
            quality smallint not null constraint fingerprints_quality_range check (quality between 0 and 100)
        )
    """)
    op.execute("create index fingerprints_sha256 on proofs.fingerprints (sha256)")
    op.execute("create index fingerprints_challenge on proofs.fingerprints (challenge_id)")

    for table in ("proofs", "fingerprints"):
        op.execute(f"alter table proofs.{table} enable row level security")
        op.execute(f"alter table proofs.{table} force row level security")
        op.execute(f"create policy {table}_owner on proofs.{table} to chally_owner using (true)")
        op.execute(f"create policy {table}_system on proofs.{table} to chally_system using (true)")
        op.execute(f"grant select, insert, update, delete on proofs.{table} to chally_system")

    op.execute("""
        create policy proofs_visible on proofs.proofs for select to chally_app using (
            -- a participant (the owner is one) who may see who takes part may see what they proved
            user_id = core.actor() or challenges.takes_part(challenge_id) and challenges.shows_roster(challenge_id)
        )
    """)
    # A proof is asked for by the participant; only the job decides it, so there is no update for the app.
    op.execute("""
        create policy proofs_request on proofs.proofs for insert to chally_app with check (
            user_id = core.actor()
            and exists (
                select from challenges.participants p
                where p.id = participant_id and p.user_id = core.actor() and p.challenge_id = proofs.challenge_id
            )
        )
    """)
    op.execute("""
        grant select, insert (
            id, challenge_id, participant_id, user_id, local_date, opens_at, closes_at, kind, note, captured_at,
            content_type, content_length, sha256, object_key, created_at
        ) on proofs.proofs to chally_app
    """)
    op.execute("grant usage on schema proofs to chally_app, chally_system")
