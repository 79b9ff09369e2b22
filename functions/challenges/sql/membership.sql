-- requires: core/actor, core/zones

-- Policies of challenges and participants look at each other. These read as the owner, which ends the recursion.
create or replace function challenges.takes_part(challenge uuid) returns boolean
language sql stable security definer set search_path = ''
return exists (
    select from challenges.participants p
    where p.challenge_id = challenge and p.user_id = core.actor() and p.left_at is null
);

create or replace function challenges.shows_roster(challenge uuid) returns boolean
language sql stable security definer set search_path = ''
return exists (
    select from challenges.challenges c
    where c.id = challenge
      and c.status <> 'deleted'
      and (c.owner_id = core.actor()
           or c.roster_visibility <> 'owner' and challenges.takes_part(c.id)
           or c.roster_visibility = 'everyone' and c.visibility = 'public' and c.status <> 'draft')
);

-- What keeps people out at an instant, whatever they may have been told before. The cap is the table's own constraint.
create or replace function challenges.check_entry(challenge challenges.challenges, at timestamptz) returns void
language plpgsql immutable set search_path = '' as $$
begin
    if challenge.status <> 'active' or at >= challenge.ends_at then
        raise exception 'the challenge is %, until %', challenge.status, challenge.ends_at
        using errcode = 'check_violation', constraint = 'challenges_not_active';
    end if;
    if at >= challenge.starts_at and not challenge.late_join then
        raise exception 'the challenge started at %', challenge.starts_at
        using errcode = 'check_violation', constraint = 'challenges_already_started';
    end if;
end
$$;

-- Places are counted in the transaction that takes or leaves them, and in its last moment: the challenge's row, which
-- everybody who joins must write, is held for the commit alone. Under its lock it is looked at once more: no burst can
-- pass the cap, and nothing that the owner does can slip in between.
create or replace function challenges.count_participant() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    was_in constant boolean := tg_op <> 'INSERT' and old.left_at is null;
    is_in constant boolean := tg_op <> 'DELETE' and new.left_at is null;
    challenge challenges.challenges;
begin
    if was_in = is_in then
        return null;
    end if;
    update challenges.challenges c
    set participant_count = c.participant_count + case when is_in then 1 else -1 end
    where c.id = coalesce(new.challenge_id, old.challenge_id) returning c.* into challenge;
    if is_in and challenge.owner_id <> new.user_id then
        perform challenges.check_entry(challenge, coalesce(new.returned_at, new.joined_at));
    end if;
    return null;
end
$$;

-- Called in a statement that reads the challenge: counts who came in this transaction before its commit would, so that
-- the answer has the right number and a refusal comes here.
create or replace function challenges.counted(challenge uuid) returns integer
language plpgsql set search_path = '' as $$
begin
    set constraints challenges.participants_counted immediate;
    return (select c.participant_count from challenges.challenges c where c.id = challenge);
end
$$;

-- A place for the actor: a new one, or the one they left. No row where there is nothing that they may see. The owner's
-- first call is a part of making the challenge.
create or replace function challenges.join(challenge uuid, code text, zone text, at timestamptz)
returns table (challenge_id uuid, participant_id uuid, timezone text, came boolean)
language plpgsql security definer set search_path = '' as $$
declare
    person constant uuid := core.actor();
    c challenges.challenges;
    place challenges.participants;
begin
    if code is not null then
        select x.* into c from challenges.challenges x where x.invite_code = code and x.status <> 'deleted';
    else
        select x.* into c from challenges.challenges x
        where x.id = challenge and x.status <> 'deleted' and (
            x.owner_id = person
            or x.visibility = 'public' and x.status <> 'draft'
            or challenges.takes_part(x.id)
        );
    end if;
    if c.id is null then
        return;
    end if;
    -- Of one person, one at a time: they press twice, and what they may have is counted. Of a challenge, none
    -- while its owner edits the schedule: windows are made of it.
    perform pg_advisory_xact_lock(hashtextextended('challenges of ' || person, 0)),
            pg_advisory_xact_lock_shared(hashtextextended('schedule of ' || c.id, 0));
    select p.* into place from challenges.participants p where p.challenge_id = c.id and p.user_id = person;
    if place.left_at is not null then
        -- the challenge before the place, as in `depart`
        perform from challenges.challenges x where x.id = c.id for no key update;
        select p.* into place from challenges.participants p where p.id = place.id for no key update;
    end if;
    select x.* into c from challenges.challenges x where x.id = c.id;

    if place.id is not null and place.left_at is null then
        if c.owner_id = person then
            raise exception 'the owner is in'
            using errcode = 'check_violation', constraint = 'challenges_owner_already_in';
        end if;
        return query select c.id, place.id, place.timezone, false;
        return;
    end if;
    if c.owner_id <> person then
        if code is null and c.visibility <> 'public' or code <> c.invite_code or c.status = 'deleted' then
            return;
        end if;
        if place.barred_code is not null and (code is null or place.barred_code >= c.invite_code_number) then
            raise exception 'the owner removed them'
            using errcode = 'check_violation', constraint = 'challenges_removed';
        end if;
        perform challenges.check_entry(c, at);
        if c.participant_count >= c.max_participants then
            raise exception 'no place left' using errcode = 'check_violation', constraint = 'challenges_full';
        end if;
    end if;
    if (
        select count(*) from challenges.participants p join challenges.challenges x on x.id = p.challenge_id
        where p.user_id = person and p.left_at is null
          and x.status in ('draft', 'active', 'paused') and x.ends_at > at
    ) >= 200 then
        raise exception 'they take part in 200'
        using errcode = 'check_violation', constraint = 'challenges_quota_joined';
    end if;

    if place.id is null then
        insert into challenges.participants as p (challenge_id, user_id, timezone, joined_at, timezone_since)
        select c.id, u.id, coalesce(zone, u.timezone), at, at from identity.users u where u.id = person
        returning p.* into place;
    else
        update challenges.participants p set left_at = null, barred_code = null, returned_at = at
        where p.id = place.id;
        perform notifications.resume(place.id, place.left_at);
    end if;
    return query select c.id, place.id, place.timezone, true;
end
$$;

-- The place is kept, with its dates and what was missed: whoever comes back finds it as it would be had they stayed, and
-- leaving erases nothing. Always in this order: the challenge, the place, its reminders.
create or replace function challenges.depart(challenge uuid, participant uuid, barred boolean, at timestamptz) returns void
language plpgsql security definer set search_path = '' as $$
declare
    code_number integer;
    leaves boolean;
begin
    select c.invite_code_number into code_number from challenges.challenges c where c.id = challenge
    for no key update;
    update challenges.participants p
    set left_at = coalesce(p.left_at, at),
        barred_code = case when barred then code_number else p.barred_code end
    where p.id = participant
    returning old.left_at is null into leaves;
    if leaves then
        perform notifications.silence(participant, at);
    end if;
end
$$;

-- True, also again; false where they never were in.
create or replace function challenges.leave(challenge uuid, at timestamptz) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    place uuid;
begin
    select p.id into place from challenges.participants p
    where p.challenge_id = challenge and p.user_id = core.actor();
    if place is null then
        return false;
    end if;
    if exists (select from challenges.challenges c where c.id = challenge and c.owner_id = core.actor()) then
        raise exception 'the owner stays'
        using errcode = 'check_violation', constraint = 'challenges_owner_cannot_leave';
    end if;
    perform challenges.depart(challenge, place, false, at);
    return true;
end
$$;

-- Whom the actor removed from their own challenge; null where there is no such participant.
create or replace function challenges.remove(challenge uuid, participant uuid, at timestamptz) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    person uuid;
begin
    select p.user_id into person
    from challenges.participants p join challenges.challenges c on c.id = p.challenge_id
    where p.id = participant and c.id = challenge and c.owner_id = core.actor() and c.status <> 'deleted';
    if person = core.actor() then
        raise exception 'the owner stays'
        using errcode = 'check_violation', constraint = 'challenges_owner_cannot_leave';
    end if;
    if person is not null then
        perform challenges.depart(challenge, participant, true, at);
    end if;
    return person;
end
$$;

revoke execute on function
    challenges.takes_part, challenges.shows_roster, challenges.check_entry, challenges.count_participant,
    challenges.counted, challenges.join, challenges.depart, challenges.leave, challenges.remove
from public;
grant execute on function challenges.takes_part, challenges.shows_roster to chally_app, chally_system;
grant execute on function challenges.counted, challenges.join, challenges.leave, challenges.remove to chally_app;

create trigger participants_timezone before insert or update of timezone on challenges.participants
for each row execute function core.check_timezone();

create constraint trigger participants_counted
after insert or delete or update of left_at on challenges.participants
deferrable initially deferred
for each row execute function challenges.count_participant();

create policy participants_owner on challenges.participants to chally_owner using (true);
create policy participants_system on challenges.participants to chally_system using (true);
create policy participants_roster on challenges.participants for select to chally_app
using (user_id = core.actor() or left_at is null and challenges.shows_roster(challenge_id));

revoke all on challenges.participants from chally_app, chally_system;
grant select, insert, update, delete on challenges.participants to chally_system;
grant select on challenges.participants to chally_app;
