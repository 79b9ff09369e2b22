"""Pictures: their size, the pixels of flat graphics, and a search that misses no fingerprint for its quality."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # It can be run again if it fails part way through: in the block each statement commits by itself, and an index that
    # could not be completed stays, and is invalid.
    # of the cleaned picture; null: there is none, or it is older than these columns
    op.execute(
        "alter table proofs.proofs add column if not exists picture_width integer,"
        " add column if not exists picture_height integer"
    )
    # the packed pixels of a flat graphic (proofs.graphics), null for other pictures
    op.execute(
        "alter table proofs.fingerprints add column if not exists graphic bytea"
        " constraint fingerprints_graphic_size check (length(graphic) <= 49152)"
    )
    # The indexes of 0005 without their condition: pictures of low quality are compared as well. `comparable` says now
    # that a near picture can be rejected without a person (proofs.rules.verdict.is_comparable).
    with op.get_context().autocommit_block():
        for band in range(16):
            op.execute(f"drop index concurrently if exists proofs.fingerprints_band_{band:02}")
            op.execute(
                f"create index concurrently if not exists fingerprints_band_{band:02} on proofs.fingerprints"
                f" ((uuid_hash_extended(challenge_id, 0) << 16 | substring(pdq, {1 + 16 * band}, 16)::integer))"
                " include (challenge_id, pdq, proof_id)"
            )
