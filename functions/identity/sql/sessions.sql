-- The role and freshness of a live session; no row when it has ended or its account is deleted.
create or replace function identity.live_session(session_id uuid, user_id uuid)
returns table (role text, authenticated_at timestamptz, second_factor boolean)
language sql stable security definer set search_path = '' as $$
    select u.role, s.authenticated_at, s.second_factor
    from identity.sessions s join identity.users u on u.id = s.user_id
    where s.id = live_session.session_id and u.id = live_session.user_id
      and s.ended_at is null and u.deleted_at is null
$$;

-- Start a transaction in the name of `actor`, or of nobody where it is null. Every transaction calls this first
-- (chally.db), so that an ended session is refused at once and not only when its access token expires. It raises ZC401,
-- an SQLSTATE of our own (class Z is left to implementations), when the session is not live; the statements sent behind
-- it in the same round trip then fail too. The name is core's, because core calls it; the text is here, because only
-- identity knows sessions.
create or replace function core.identify(actor uuid, session uuid, reason text, traceparent text, read_only boolean)
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
    from identity.live_session(session, actor) s;
    if not found then
        raise exception 'the session is over' using errcode = 'ZC401';
    end if;
    -- read by policies, through core.moderates()
    perform set_config(
        'chally.moderates', case when role in ('moderator', 'admin') and second_factor then 'on' else '' end, true);
    return next;
end
$$;

revoke all on function identity.live_session, core.identify from public, chally_app, chally_system;
grant execute on function identity.live_session, core.identify to chally_app, chally_system;

create policy sessions_owner on identity.sessions to chally_owner using (true);
create policy sessions_system on identity.sessions to chally_system using (true);

revoke all on identity.sessions from chally_app, chally_system;
grant select, insert, update, delete on identity.sessions to chally_system;

create policy refresh_tokens_owner on identity.refresh_tokens to chally_owner using (true);
create policy refresh_tokens_system on identity.refresh_tokens to chally_system using (true);

revoke all on identity.refresh_tokens from chally_app, chally_system;
grant select, insert, delete on identity.refresh_tokens to chally_system;
