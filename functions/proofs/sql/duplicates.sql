-- A band's value, and the 16 values that differ from it in one bit.
create or replace function proofs.within_one_bit(key bigint) returns bigint[]
language sql immutable strict parallel safe set search_path = ''
return array[
    key, key # 1, key # 2, key # 4, key # 8, key # 16, key # 32, key # 64, key # 128, key # 256, key # 512, key # 1024,
    key # 2048, key # 4096, key # 8192, key # 16384, key # 32768
];

-- Finds the photos of a challenge or a person (`scope`) whose fingerprint is at most `distance` bits from one of the
-- `variants`, which are a new photo's fingerprints in its eight orientations.
--
-- Within a person's photos, it compares each of them. Within a challenge, it uses multi-index hashing (Norouzi,
-- Punjani, Fleet: Fast Exact Search in Hamming Space with Multi-Index Hashing, 2014, section 3): two fingerprints at
-- most 31 bits apart differ by at most one bit in at least one of 16 bands of 16 bits, or they would differ in 32. Each
-- band has an index, in which a search looks up 17 values, so it misses nothing.
--
-- The settings keep the planner to these indexes. It overestimates the rows of a key, and would read the table or
-- compile the plan; for pages not yet marked all-visible it would use a bitmap scan instead of an index-only scan.
-- `is not distinct from` instead of `=` prevents the use of fingerprints_challenge, which has all of the challenge.
create or replace function proofs.find_similar(scope uuid, variants text[], distance integer)
returns table (proof_id uuid, bits integer)
language plpgsql stable rows 10 set search_path = ''
set enable_seqscan = off set enable_bitmapscan = off set enable_memoize = off set jit = off as $$
begin
    if distance > 31 then
        raise exception 'the band indexes cover distances up to 31 bits, not %', distance;
    end if;
    if exists (select from proofs.fingerprints f where f.user_id = scope) then
        return query
        select f.proof_id, nearest.bits from proofs.fingerprints f
        cross join lateral (
            select min(bit_count(f.pdq # variant))::integer as bits from unnest(variants::bit(256)[]) as variant
        ) as nearest
        where f.user_id = scope and nearest.bits <= distance;
    else
        return query
        select found.proof_id, min(found.bits)::integer
        from unnest(variants::bit(256)[]) as variant
        cross join lateral (
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 1, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 1, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 17, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 17, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 33, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 33, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 49, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 49, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 65, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 65, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 81, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 81, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 97, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 97, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 113, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 113, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 129, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 129, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 145, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 145, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 161, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 161, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 177, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 177, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 193, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 193, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 209, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 209, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 225, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 225, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 241, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 241, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
        ) as found
        group by found.proof_id;
    end if;
end
$$;

revoke all on function proofs.within_one_bit, proofs.find_similar from public, chally_app, chally_system;
grant execute on function proofs.within_one_bit, proofs.find_similar to chally_system;

create policy fingerprints_owner on proofs.fingerprints to chally_owner using (true);
create policy fingerprints_system on proofs.fingerprints to chally_system using (true);

revoke all on proofs.fingerprints from chally_app, chally_system;
grant select, insert, update, delete on proofs.fingerprints to chally_system;
