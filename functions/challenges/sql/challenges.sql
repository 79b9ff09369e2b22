-- requires: core/actor, core/clock, core/zones, challenges/membership, challenges/windows

-- For the policy that allows inserts: true, or an error if the actor owns too many challenges. A policy cannot pass the
-- quota as a parameter: it is rules.MAX_OWNED, and a test compares the two. The lock, the same as in `join`, makes a
-- person's inserts wait for each other.
create or replace function challenges.check_owned_quota() returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('challenges of ' || core.actor(), 0));
    if (
        select count(*) from challenges.challenges c
        where c.owner_id = core.actor() and c.status not in ('archived', 'deleted')
    ) >= 50 then
        raise exception 'the actor owns too many challenges'
        using errcode = 'check_violation', constraint = 'challenges_quota_owned';
    end if;
    return true;
end
$$;

-- True if the database's functions and jobs can read these rules; otherwise an error. `challenges.language` checks the
-- rest and says more; here nothing may enter that would make a statement over many challenges fail.
create or replace function challenges.check_rules(rules jsonb) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
    if exists (
        select from challenges.schedule(check_rules.rules) as s
        where s.opens is not null and s.closes is not null and s.local is not null
          and jsonb_typeof(s.days) = 'array' and coalesce(s.remind between 0 and 10080, true)
    ) and coalesce(jsonb_typeof(check_rules.rules -> 'scoring') = 'object', true) then
        return true;
    end if;
    raise exception 'the rules have no schedule that can be read'
    using errcode = 'check_violation', constraint = 'challenges_rules_readable';
end
$$;

revoke all on function challenges.check_owned_quota, challenges.check_rules from public, chally_app, chally_system;
grant execute on function challenges.check_owned_quota, challenges.check_rules to chally_app;

create trigger challenges_timezone before insert or update of timezone on challenges.challenges
for each row execute function core.check_timezone();

create policy challenges_owner on challenges.challenges to chally_owner using (true);
create policy challenges_system on challenges.challenges to chally_system using (true);
create policy challenges_visible on challenges.challenges for select to chally_app using (
    owner_id = core.actor() -- deleted ones, too: after an update the new row must be visible to the owner
    or status <> 'deleted' and (visibility = 'public' and status <> 'draft' or challenges.takes_part(id))
);
create policy challenges_create on challenges.challenges for insert to chally_app
with check (
    owner_id = core.actor() and status in ('draft', 'active') and core.check_present(created_at)
    and challenges.check_rules(rules) and challenges.check_owned_quota()
);
create policy challenges_edit on challenges.challenges for update to chally_app
using (owner_id = core.actor() and status <> 'deleted') with check (owner_id = core.actor());

revoke all on challenges.challenges from chally_app, chally_system;
grant select, update (search) on challenges.challenges to chally_system;
grant select, insert (
    owner_id, title, description, status, visibility, invite_code, timezone, starts_at, ends_at, max_participants,
    late_join, roster_visibility, rules, created_at, search
), update (title, description, visibility, max_participants, late_join, roster_visibility, search)
on challenges.challenges to chally_app;
