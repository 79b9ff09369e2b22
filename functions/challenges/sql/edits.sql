-- requires: core/clock, core/tzdata, challenges/challenges, challenges/windows

-- What the app's role changes in a challenge of its actor by these functions only, because a wrong value would harm its
-- participants: the schedule and rules, the status, the invite code. Each returns whether it changed the challenge.

-- Change the rules and the schedule of a challenge that has not started, and compute its windows again. A draft has not
-- started, whatever its times are, and has no windows. The new start must be ahead, as participants could not prove
-- windows that have closed.
create or replace function challenges.reschedule(
    challenge uuid, zone text, starts_at timestamptz, ends_at timestamptz, rules jsonb, at timestamptz
)
returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    c challenges.challenges;
begin
    perform core.check_present(reschedule.at), challenges.check_rules(reschedule.rules);
    if reschedule.starts_at <= '2000-01-01' or reschedule.ends_at >= '2200-01-01'
        or reschedule.ends_at - reschedule.starts_at > interval '1098 days'
    then
        raise exception 'the challenge lasts too long'
        using errcode = 'check_violation', constraint = 'challenges_period';
    end if;
    select x.* into c from challenges.challenges x
    where x.id = reschedule.challenge and x.owner_id = core.actor() and x.status in ('draft', 'active', 'paused')
    for no key update;
    if c.id is null then
        return false;
    end if;
    if c.status <> 'draft' and least(
        c.starts_at, case when reschedule.starts_at <> c.starts_at then reschedule.starts_at end
    ) <= reschedule.at then
        raise exception 'the challenge has started'
        using errcode = 'check_violation', constraint = 'challenges_schedule_frozen';
    end if;
    update challenges.challenges x
    set timezone = reschedule.zone, starts_at = reschedule.starts_at, ends_at = reschedule.ends_at,
        rules = reschedule.rules
    where x.id = c.id;
    if c.status <> 'draft' then
        perform challenges.recompute_windows(c.id, reschedule.at, core.tzdata_release());
    end if;
    return true;
end
$$;

-- Change the status. A challenge that was canceled or archived can only be deleted, and a deleted one stays deleted.
create or replace function challenges.set_status(challenge uuid, status text, at timestamptz) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    perform core.check_present(set_status.at);
    update challenges.challenges c
    set status = set_status.status,
        runs_since = case when set_status.status = 'active' then set_status.at else c.runs_since end
    where c.id = set_status.challenge and c.owner_id = core.actor() and set_status.status <> 'draft'
      and (c.status in ('draft', 'active', 'paused')
           or c.status in ('canceled', 'archived') and set_status.status = 'deleted');
    return found;
end
$$;

-- Replace the invite code. Its number tells a code that was made after a participant was removed from earlier ones.
create or replace function challenges.set_invite_code(challenge uuid, code text) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update challenges.challenges c
    set invite_code = set_invite_code.code, invite_code_number = c.invite_code_number + 1
    where c.id = set_invite_code.challenge and c.owner_id = core.actor() and c.status <> 'deleted';
    return found;
end
$$;

revoke all on function challenges.reschedule, challenges.set_status, challenges.set_invite_code
from public, chally_app, chally_system;
grant execute on function challenges.reschedule, challenges.set_status, challenges.set_invite_code to chally_app;
