"""What every request asks first is one statement that either answers or fails: then what is sent behind it in the same
round trip is not run either.
"""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

SESSION_ENDED = "ZC401"  # an SQLSTATE of our own: what begins with Z is left to implementations

IDENTIFY = f"""
    create function core.identify(actor uuid, session uuid, reason text, traceparent text, read_only boolean)
    returns table (role text, authenticated_at timestamptz, second_factor boolean)
    language plpgsql rows 1 set search_path = '' as $$
    begin
        perform set_config('chally.actor', coalesce(actor::text, ''), true),
                set_config('chally.reason', reason, true),
                set_config('chally.traceparent', traceparent, true),
                set_config('transaction_read_only', case when read_only then 'on' else 'off' end, true);
        if actor is null then
            return;
        end if;
        select s.role, s.authenticated_at, s.second_factor into role, authenticated_at, second_factor
        from core.session(session, actor) s;
        if not found then
            raise exception 'the session is over' using errcode = '{SESSION_ENDED}';
        end if;
        -- policies ask: see core.moderates()
        perform set_config(
            'chally.moderates', case when role in ('moderator', 'admin') and second_factor then 'on' else '' end, true);
        return next;
    end
    $$
"""
# A unique index would make a second request wait for the first: a lock of the transaction says that there is one. The
# answer is looked for under the lock.
CLAIM_KEY = """
    create function core.claim_key(key text)
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
    $$
"""


def upgrade() -> None:
    op.execute(IDENTIFY)
    op.execute(CLAIM_KEY)
    op.execute("revoke execute on function core.identify, core.claim_key from public")
    op.execute("grant execute on function core.identify, core.claim_key to chally_app, chally_system")
