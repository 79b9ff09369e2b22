-- requires: core/clock

-- Count one request against several limits, by GCRA; returns the limits that refuse it, with the wait. When one
-- refuses, none is charged: a client that its ip's limit refuses must not use up the account's limit, which others
-- share. Rows are locked and checked first; a row that another request inserts meanwhile is checked again on conflict.
-- A used-up row is overwritten when touched, and a job deletes the rest. The app's role can call this, but cannot read
-- or delete rows, and cannot count at another instant: one to come would lock a person out until then.
create or replace function core.take(names text[], subjects bytea[], lifted text[], at timestamptz)
returns table (name text, retry_after interval)
language sql security definer set search_path = '' as $$
    with requested as (
        select l.name, a.subject, l.period / l.quantity as step, l.period - l.period / l.quantity as slack
        from unnest(take.names, take.subjects) as a (name, subject)
        join core.limits l on l.name = a.name and l.per <> all (take.lifted)
        where core.check_present(take.at)
    ), found as (
        select r.name, r.full_at, requested.slack
        from core.rate_limits r join requested on requested.name = r.name and requested.subject = r.subject
        order by r.name, r.subject for update of r  -- always in the same order, so that two requests cannot deadlock
    ), refused as (
        select found.name, found.full_at - take.at - found.slack as retry_after
        from found where found.full_at > take.at + found.slack
    ), taken as (
        insert into core.rate_limits as r (name, subject, full_at)
        select requested.name, requested.subject, take.at + requested.step from requested
        where not exists (select from refused)
        order by requested.name, requested.subject
        on conflict on constraint rate_limits_pkey do update
        set full_at = case
            when r.full_at <= take.at + (
                select requested.slack from requested
                where requested.name = r.name and requested.subject = r.subject
            )
            then greatest(r.full_at, take.at) + (excluded.full_at - take.at)
            else r.full_at
        end
        returning new.name, old.full_at as was, new.full_at as full_at
    )
    select refused.name, refused.retry_after from refused
    union all
    select taken.name, taken.was - take.at - requested.slack
    from taken join requested on requested.name = taken.name
    where taken.was = taken.full_at
$$;

revoke all on function core.take from public, chally_app, chally_system;
grant execute on function core.take to chally_app, chally_system;

create policy limits_owner on core.limits to chally_owner using (true);
create policy limits_system on core.limits to chally_system using (true);

revoke all on core.limits from chally_app, chally_system;
grant select on core.limits to chally_system;

create policy rate_limits_owner on core.rate_limits to chally_owner using (true);
create policy rate_limits_system on core.rate_limits to chally_system using (true);

revoke all on core.rate_limits from chally_app, chally_system;
grant select, delete on core.rate_limits to chally_system;
