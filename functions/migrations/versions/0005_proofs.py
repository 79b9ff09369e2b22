"""Tables of the schema `proofs`: proofs, fingerprints of photos, malware scans, objects to be removed from storage."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = (
    """
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
        kind text not null default 'photo',
        status text not null default 'awaiting_upload' constraint proofs_status_known
            check (status in ('awaiting_upload', 'processing', 'accepted', 'rejected', 'needs_review', 'replaced')),
        reasons jsonb not null default '[]',
        note text constraint proofs_note_length check (length(note) <= 500),
        captured_at timestamptz,
        content_type text,
        content_length bigint constraint proofs_content_length_positive check (content_length > 0),
        sha256 bytea constraint proofs_sha256_length check (length(sha256) = 32),
        object_key text constraint proofs_object_key_key unique,
        -- of the newest object version that was decided: S3 events come twice, late and out of order
        sequencer text,
        stored_at timestamptz,
        decided_at timestamptz,
        created_at timestamptz not null,
        value_text text,
        value_number double precision,
        -- of its window at the time of sending: both stand in the receipt
        timezone text,
        tzdata text,
        -- the cleaned picture that others see; null: there is none, or none that may be shown
        picture_key text,
        -- the earlier proof that this one resembles
        matched_proof_id uuid,
        matched_distance smallint,
        appeal text constraint proofs_appeal_length check (length(appeal) <= 1000),
        appealed_at timestamptz,
        review text constraint proofs_review_known check (review in ('accept', 'reject')),
        review_reason text constraint proofs_review_reason_length check (length(review_reason) <= 500),
        reviewed_by uuid,
        reviewed_at timestamptz,
        constraint proofs_of_their_kind check (
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
        )
    )
    """,
    "create index proofs_challenge on proofs.proofs (challenge_id, id)",
    "create index proofs_window on proofs.proofs (participant_id, local_date)",
    "create index proofs_to_review on proofs.proofs (challenge_id, id) where status = 'needs_review'",
    "create index proofs_stored on proofs.proofs (user_id, created_at) include (content_length) where kind = 'photo'",
    "create index proofs_reviewed on proofs.proofs (reviewed_by) where reviewed_by is not null",
    """
    create table proofs.fingerprints (
        proof_id uuid constraint fingerprints_pkey primary key
            constraint fingerprints_proof_fkey references proofs.proofs (id) on delete cascade,
        challenge_id uuid not null
            constraint fingerprints_challenge_fkey references challenges.challenges (id) on delete cascade,
        sha256 bytea not null,
        pdq bit(256) not null,
        quality smallint not null constraint fingerprints_quality_range check (quality between 0 and 100),
        -- false if the picture shows too little to tell it from others (proofs.rules.verdict.is_comparable)
        comparable boolean not null,
        user_id uuid not null
    )
    """,
    "create index fingerprints_sha256 on proofs.fingerprints (sha256)",
    "create index fingerprints_challenge on proofs.fingerprints (challenge_id)",
    "create index fingerprints_user on proofs.fingerprints (user_id)",
    # One index for each of 16 bands of 16 bits (functions/proofs/sql/duplicates.sql says why). Each holds the whole
    # fingerprint, so that a search tells near from far without reading the table. The key is one value for challenge
    # and band: of two columns the planner would use only the first where challenges are small, and would then read all
    # of a large one for every variant and band. `uuid_hash_extended` is stable: partitions on disk rely on it.
    *(
        f"""
        create index fingerprints_band_{band:02} on proofs.fingerprints (
            (uuid_hash_extended(challenge_id, 0) << 16 | substring(pdq, {1 + 16 * band}, 16)::integer)
        ) include (challenge_id, pdq, proof_id) where comparable
        """
        for band in range(16)
    ),
    """
    create table proofs.scans (
        proof_id uuid not null constraint scans_proof_fkey references proofs.proofs (id) on delete cascade,
        version_id text not null,
        -- from the S3 event of this version; null until it arrives
        sequencer text,
        stored_at timestamptz,
        -- the scanner's result; null until it arrives
        infected boolean,
        signature text constraint scans_signature_length check (length(signature) between 1 and 100),
        constraint scans_pkey primary key (proof_id, version_id),
        constraint scans_announced check ((sequencer is null) = (stored_at is null)),
        constraint scans_infected_by check ((signature is not null) = coalesce(infected, false))
    )
    """,
    # Objects that are no longer needed, until a job has deleted them from storage.
    """
    create table proofs.removals (
        key text constraint removals_pkey primary key,
        added_at timestamptz not null
    )
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in ("proofs", "fingerprints", "scans", "removals"):
        op.execute(f"alter table proofs.{table} enable row level security")
        op.execute(f"alter table proofs.{table} force row level security")
