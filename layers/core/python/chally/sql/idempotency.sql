-- requires: core/actor

-- Claim the actor's idempotency key for this transaction; `claimed` is false while another request holds it. With only
-- a unique index, a second request would wait for the first; an advisory lock detects it at once. The stored response,
-- if there is one, is read under the lock.
create or replace function core.claim_key(key text)
returns table (claimed boolean, fingerprint bytea, status integer, headers jsonb, body bytea)
language plpgsql rows 1 set search_path = '' as $$
begin
    claimed := pg_try_advisory_xact_lock(hashtextextended(core.actor() || ' ' || claim_key.key, 0));
    if claimed then
        select k.fingerprint, k.status, k.headers, k.body into fingerprint, status, headers, body
        from core.idempotency_keys k
        where k.user_id = core.actor() and k.key = claim_key.key and k.created_at > now() - interval '24 hours';
    end if;
    return next;
end
$$;

revoke all on function core.claim_key from public, chally_app, chally_system;
grant execute on function core.claim_key to chally_app, chally_system;

create policy idempotency_keys_owner on core.idempotency_keys to chally_owner using (true);
create policy idempotency_keys_system on core.idempotency_keys to chally_system using (true);
create policy idempotency_keys_own on core.idempotency_keys to chally_app
using (user_id = core.actor()) with check (user_id = core.actor() and created_at = now());

revoke all on core.idempotency_keys from chally_app, chally_system;
grant select, insert, update, delete on core.idempotency_keys to chally_system;
grant select, insert, update on core.idempotency_keys to chally_app;
