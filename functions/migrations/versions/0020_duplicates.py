"""Duplicates: photos near a new one, among those of its challenge and of its person, by multi-index hashing.

Two fingerprints at most 31 bits apart differ in at most one bit in at least one of 16 bands of 16 bits: else they would
differ in 32 (Norouzi, Punjani, Fleet: Fast Exact Search in Hamming Space with Multi-Index Hashing, 2014, section 3). So
each band is a key of an index, and a search asks for its 17 values within one bit, band by band: nothing is missed. The
scope is part of the key, and so photos of other challenges and people cost a search nothing.
"""

from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None

BANDS = 16
WIDTH = 16  # bits
# From about here on the index is faster than reading the scope (bench_duplicates).
MANY = 10_000

# The uppermost bits are the scope's: a challenge's id or a person's, hashed to 44 bits. Hashes of this kind are stable:
# partitions on disk rest on them.
BAND_KEYS = f"""
    create function proofs.band_keys(scope uuid, pdq bit(256)) returns bigint[]
    language sql immutable strict parallel safe set search_path = ''
    return array[{
    ", ".join(
        f"uuid_hash_extended(scope, 0) << 20 | {band << WIDTH} | substring(pdq, {1 + band * WIDTH}, {WIDTH})::integer"
        for band in range(BANDS)
    )
}]
"""
FINGERPRINT_KEYS = """
    create function proofs.fingerprint_keys(challenge_id uuid, user_id uuid, pdq bit(256)) returns bigint[]
    language sql immutable strict parallel safe set search_path = ''
    return proofs.band_keys(challenge_id, pdq) || proofs.band_keys(user_id, pdq)
"""
# A bitmap would read all of the scope before it counts to the limit.
HAS_MANY = f"""
    create function proofs.has_many_fingerprints(scope uuid) returns boolean
    language sql stable set search_path = '' set enable_seqscan = off set enable_bitmapscan = off
    begin atomic
        select exists (select from proofs.fingerprints f where f.challenge_id = scope offset {MANY - 1})
            or exists (select from proofs.fingerprints f where f.user_id = scope offset {MANY - 1});
    end
"""
# The planner expects a hundredth of all photos behind every key: it would read the table, or compile its plan.
# Within the fence (`offset 0`) there is no condition but the index's own. Each band is a scan of its own, because one
# scan's cost is the number of its keys times the number of what it finds.
NEAR = f"""
    create function proofs.near(scope uuid, variants text[], distance integer)
    returns table (proof_id uuid, bits integer)
    language plpgsql stable rows 10 set search_path = ''
    set enable_seqscan = off set enable_memoize = off set jit = off as $$
    begin
        if distance > {2 * BANDS - 1} then
            raise exception 'the index finds what is at most {2 * BANDS - 1} bits apart, not %', distance;
        end if;
        if variants = '{{}}' then
            return;
        end if;
        if proofs.has_many_fingerprints(scope) then
            return query
            select found.proof_id, min(bit_count(found.pdq # variant))::integer
            from unnest(variants::bit(256)[]) as variant
            cross join unnest(proofs.band_keys(scope, variant)) as key
            cross join lateral (
                select f.proof_id, f.challenge_id, f.user_id, f.pdq from proofs.fingerprints f
                where proofs.fingerprint_keys(f.challenge_id, f.user_id, f.pdq) && array[
                    key, {", ".join(f"key # {1 << bit}" for bit in range(WIDTH))}
                ] and f.quality > 49
                offset 0
            ) as found
            where bit_count(found.pdq # variant) <= distance and scope in (found.challenge_id, found.user_id)
            group by found.proof_id;
        else
            return query
            select f.proof_id, nearest.bits from proofs.fingerprints f
            cross join lateral (
                select min(bit_count(f.pdq # variant))::integer as bits from unnest(variants::bit(256)[]) as variant
            ) as nearest
            where (f.challenge_id = scope or f.user_id = scope) and f.quality > 49 and nearest.bits <= distance;
        end if;
    end
    $$
"""

# Whose the photo is, in step with its proof whoever adds it; the functions of the release before this one do as well.
PERSON = """
    create function proofs.set_fingerprint_user() returns trigger
    language plpgsql set search_path = '' as $$
    begin
        new.user_id := (select p.user_id from proofs.proofs p where p.id = new.proof_id);
        return new;
    end
    $$
"""


def upgrade() -> None:
    op.execute("alter table proofs.fingerprints add column user_id uuid")
    op.execute(PERSON)
    op.execute("""
        create trigger fingerprints_user before insert on proofs.fingerprints
        for each row execute function proofs.set_fingerprint_user()
    """)
    op.execute("""
        update proofs.fingerprints f set user_id = p.user_id from proofs.proofs p
        where p.id = f.proof_id and f.user_id is null
    """)
    op.execute("""
        alter table proofs.fingerprints
            add constraint fingerprints_user_known check (user_id is not null) not valid
    """)
    for statement in (BAND_KEYS, FINGERPRINT_KEYS, HAS_MANY, NEAR):
        op.execute(statement)
    functions = (
        "proofs.band_keys, proofs.fingerprint_keys, proofs.has_many_fingerprints, proofs.near,"
        " proofs.set_fingerprint_user"
    )
    op.execute(f"revoke execute on function {functions} from public")
    op.execute(f"grant execute on function {functions} to chally_system")
