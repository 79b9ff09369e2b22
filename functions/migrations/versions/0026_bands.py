"""The search for near pictures reads an index for each band, and nothing else.

Behind a key of the former index (GIN) a search found rows to read, 33,000 in a million photos, and that took two thirds
of its time. These indexes hold the fingerprint itself, so that what is near is told from what is not within them. They
belong to challenges; of a person's photos, which a person's daily limit keeps few, each is compared.

Indexes are built and dropped without blocking writes, and so outside a transaction: whatever is done here can be done
again. Each is dropped first: a build that was interrupted leaves an index that is not valid.
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

BANDS = 16
WIDTH = 16  # bits
# One value for challenge and band: of two columns the planner would use the first alone where challenges are small, and
# read all of a large one for every variant and band. Hashes of this kind are stable: partitions on disk rest on them.
KEYS = [
    f"(uuid_hash_extended({{challenge}}, 0) << {WIDTH} | substring({{pdq}}, {1 + band * WIDTH}, {WIDTH})::integer)"
    for band in range(BANDS)
]

WITHIN_ONE_BIT = f"""
    create or replace function proofs.within_one_bit(key bigint) returns bigint[]
    language sql immutable strict parallel safe set search_path = ''
    return array[key, {", ".join(f"key # {1 << bit}" for bit in range(WIDTH))}]
"""
# Why bands find all that is at most 31 bits apart: 0020. The planner expects too much behind every key, and would read
# the table, or compile its plan; and while a page is new it would rather sort what a band finds than read the index.
# `is not distinct from`: `=` would offer it the index of all of a challenge.
NEAR = f"""
    create or replace function proofs.near(scope uuid, variants text[], distance integer)
    returns table (proof_id uuid, bits integer)
    language plpgsql stable rows 10 set search_path = ''
    set enable_seqscan = off set enable_bitmapscan = off set enable_memoize = off set jit = off as $$
    begin
        if distance > {2 * BANDS - 1} then
            raise exception 'the bands find what is at most {2 * BANDS - 1} bits apart, not %', distance;
        end if;
        if exists (select from proofs.fingerprints f where f.user_id = scope) then
            return query
            select f.proof_id, nearest.bits from proofs.fingerprints f
            cross join lateral (
                select min(bit_count(f.pdq # variant))::integer as bits from unnest(variants::bit(256)[]) as variant
            ) as nearest
            where f.user_id = scope and f.quality > 49 and nearest.bits <= distance;
        else
            return query
            select found.proof_id, min(found.bits)::integer
            from unnest(variants::bit(256)[]) as variant
            cross join lateral ({
    " union all ".join(
        f'''
                select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
                where {key.format(challenge="f.challenge_id", pdq="f.pdq")}
                      = any (proofs.within_one_bit({key.format(challenge="scope", pdq="variant")}))
                  and f.challenge_id is not distinct from scope and f.quality > 49
                  and bit_count(f.pdq # variant) <= distance'''
        for key in KEYS
    )
}
            ) as found
            group by found.proof_id;
        end if;
    end
    $$
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for band, key in enumerate(KEYS):
            name = f"fingerprints_band_{band:02}"
            op.execute(f"drop index concurrently if exists proofs.{name}")
            op.execute(f"""
                create index concurrently if not exists {name}
                on proofs.fingerprints ({key.format(challenge="challenge_id", pdq="pdq")})
                include (challenge_id, pdq, proof_id) where quality > 49
            """)
    op.execute(WITHIN_ONE_BIT)
    op.execute("revoke execute on function proofs.within_one_bit from public")
    op.execute("grant execute on function proofs.within_one_bit to chally_system")
    op.execute(NEAR)
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists proofs.fingerprints_near")
    op.execute("""
        -- only the index and the former search called them
        -- squawk-ignore ban-drop-function
        drop function proofs.has_many_fingerprints, proofs.fingerprint_keys, proofs.band_keys
    """)
