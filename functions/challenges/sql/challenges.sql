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

-- True if these rules have the form of version 1; otherwise an error. `challenges.language` checks the same and says what
-- is wrong; here nothing may enter that would make a list or a job over many challenges fail.
create or replace function challenges.check_rules(rules jsonb) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
    if (
        rules - array['version', 'schedule', 'proof', 'anti_cheat', 'scoring', 'reminders'] = '{}'
        and (rules -> 'schedule') - array['days', 'opens', 'closes', 'scope'] = '{}'
        and rules #> '{schedule,days}' <@ '["mon", "tue", "wed", "thu", "fri", "sat", "sun"]'
        and jsonb_array_length(rules #> '{schedule,days}') between 1 and 7
        and rules #>> '{schedule,opens}' ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'
        and rules #>> '{schedule,closes}' ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'
        and rules #>> '{schedule,scope}' in ('participant_local', 'challenge_tz')
        and coalesce(
            (rules -> 'proof') - array['kind', 'max_per_window', 'max_bytes', 'types', 'min_length', 'unit', 'target']
                = '{}', true)
        and coalesce(rules #> '{proof,kind}' <@ '["photo", "text", "number"]', true)
        and coalesce(
            rules #> '{proof,types}' <@ '["image/jpeg", "image/png", "image/webp", "image/heic", "image/heif"]'
            and jsonb_array_length(rules #> '{proof,types}') > 0, true)
        and coalesce(jsonb_typeof(rules #> '{proof,unit}') in ('string', 'null'), true)
        and coalesce(
            (rules -> 'anti_cheat') - array['overlay', 'exif_required', 'phash_check', 'strip_exif'] = '{}', true)
        and coalesce((rules -> 'scoring') - array['points', 'streak_bonus', 'grace_days'] = '{}', true)
        and coalesce((rules -> 'reminders') - array['before_close_minutes'] = '{}', true)
        and not exists (
            select from jsonb_each(rules -> 'anti_cheat') as flag where jsonb_typeof(flag.value) <> 'boolean'
        )
        and not exists (
            select from (
                values
                ('{version}'::text[], 1, 1), ('{proof,max_per_window}', 1, 10), ('{proof,max_bytes}', 1024, 10485760),
                ('{proof,min_length}', 1, 2000), ('{scoring,points}', 0, 1000), ('{scoring,streak_bonus}', 0, 100),
                ('{scoring,grace_days}', 0, 30), ('{reminders,before_close_minutes}', 1, 1440)
            ) as whole (place, least, most)
            cross join lateral (select rules #> whole.place as value) as sent
            where sent.value is not null
              and not (sent.value = 'null' and whole.place = '{reminders,before_close_minutes}')
              and (jsonb_typeof(sent.value) <> 'number' or sent.value::text !~ '^[0-9]{1,9}$'
                   or sent.value::text::numeric not between whole.least and whole.most)
        )
        and coalesce(jsonb_typeof(rules #> '{proof,target}') in ('number', 'null'), true)
        and coalesce(abs((rules #>> '{proof,target}')::numeric) < 10 ^ 12, true)
    ) is true then
        return true;
    end if;
    raise exception 'the rules cannot be read'
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
    -- the calendar that Python reads, and as long as challenges.rules allows
    and starts_at > '2000-01-01' and ends_at < '2200-01-01' and ends_at - starts_at <= interval '1098 days'
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
