"""Pictures: their size, the pixels of flat graphics, and a search that misses no fingerprint for its quality."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STATEMENTS = (
    # of the cleaned picture; null: there is none, or it is older than these columns
    "alter table proofs.proofs add column picture_width integer, add column picture_height integer",
    # the packed pixels of a flat graphic (proofs.graphics), null for other pictures
    """
    alter table proofs.fingerprints add column graphic bytea
        constraint fingerprints_graphic_size check (length(graphic) <= 49152)
    """,
    # The indexes of 0005 without their condition: pictures of low quality are compared as well. `comparable` says now
    # that a near picture can be rejected without a person (proofs.rules.verdict.is_comparable).
    *(f"drop index proofs.fingerprints_band_{band:02}" for band in range(16)),
    *(
        f"""
        -- squawk-ignore require-concurrent-index-creation
        create index fingerprints_band_{band:02} on proofs.fingerprints (
            (uuid_hash_extended(challenge_id, 0) << 16 | substring(pdq, {1 + 16 * band}, 16)::integer)
        ) include (challenge_id, pdq, proof_id)
        """
        for band in range(16)
    ),
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
