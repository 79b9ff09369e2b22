-- requires: core/actor, core/clock, core/zones

-- The policies of challenges and participants refer to each other. These functions read as the owner of the tables,
-- which ends the recursion.
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

-- Raise an error if a challenge cannot be joined at an instant. The table's constraint checks max_participants.
create or replace function challenges.check_joinable(challenge challenges.challenges, at timestamptz) returns void
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

-- A deferred trigger updates participant_count at commit, so the lock on the challenge's row, which every join needs,
-- is brief. Under this lock the challenge is checked again: concurrent joins cannot exceed max_participants, and a
-- change by the owner cannot be missed.
create or replace function challenges.update_participant_count() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    counted_before constant boolean := tg_op <> 'INSERT' and old.left_at is null;
    counts_now constant boolean := tg_op <> 'DELETE' and new.left_at is null;
    challenge challenges.challenges;
begin
    if counted_before = counts_now then
        return null;
    end if;
    update challenges.challenges c
    set participant_count = c.participant_count + case when counts_now then 1 else -1 end
    where c.id = coalesce(new.challenge_id, old.challenge_id) returning c.* into challenge;
    if counts_now and challenge.owner_id <> new.user_id then
        perform challenges.check_joinable(challenge, coalesce(new.returned_at, new.joined_at));
    end if;
    return null;
end
$$;

-- Run the deferred trigger now, and return participant_count. So the response of a join has the right number, and a
-- join that is refused fails here and not at commit.
create or replace function challenges.count_participants_now(challenge uuid) returns integer
language plpgsql set search_path = '' as $$
begin
    set constraints challenges.participants_counted immediate;
    return (select c.participant_count from challenges.challenges c where c.id = challenge);
end
$$;

-- Make the actor a participant, or a participant again if they left. The caller then stores their windows. Return no
-- row if there is no challenge that they may see. The owner joins when the challenge is created. `max_joined`: how many
-- challenges that are not over a person may take part in, at most 200 (rules.MAX_JOINED; a test compares the two).
create or replace function challenges.join(
    challenge uuid, code text, zone text, at timestamptz, max_joined integer
)
returns table (challenge_id uuid, participant_id uuid, timezone text, is_new boolean)
language plpgsql security definer set search_path = '' as $$
declare
    person constant uuid := core.actor();
    c challenges.challenges;
    participation challenges.participants;
begin
    perform core.check_present(at);
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
    -- One join of a person at a time, because people press twice and the quota is counted; and none while the owner
    -- edits the schedule, because windows are computed from it.
    perform pg_advisory_xact_lock(hashtextextended('challenges of ' || person, 0)),
            pg_advisory_xact_lock_shared(hashtextextended('schedule of ' || c.id, 0));
    select p.* into participation from challenges.participants p where p.challenge_id = c.id and p.user_id = person;
    if participation.left_at is not null then
        -- lock the challenge before the participant, as in `end_participation`
        perform from challenges.challenges x where x.id = c.id for no key update;
        select p.* into participation from challenges.participants p where p.id = participation.id for no key update;
    end if;
    select x.* into c from challenges.challenges x where x.id = c.id;

    if participation.id is not null and participation.left_at is null then
        if c.owner_id = person then
            raise exception 'the owner takes part already'
            using errcode = 'check_violation', constraint = 'challenges_owner_already_in';
        end if;
        return query select c.id, participation.id, participation.timezone, false;
        return;
    end if;
    if c.owner_id <> person then
        if code is null and c.visibility <> 'public' or code <> c.invite_code or c.status = 'deleted' then
            return;
        end if;
        if participation.barred_code is not null
            and (code is null or participation.barred_code >= c.invite_code_number)
        then
            raise exception 'the owner removed this participant'
            using errcode = 'check_violation', constraint = 'challenges_removed';
        end if;
        perform challenges.check_joinable(c, at);
        if c.participant_count >= c.max_participants then
            raise exception 'the challenge is full' using errcode = 'check_violation', constraint = 'challenges_full';
        end if;
    end if;
    if (
        select count(*) from challenges.participants p join challenges.challenges x on x.id = p.challenge_id
        where p.user_id = person and p.left_at is null
          and x.status in ('draft', 'active', 'paused') and x.ends_at > at
    ) >= least(max_joined, 200) then
        raise exception 'the actor takes part in % challenges', max_joined
        using errcode = 'check_violation', constraint = 'challenges_quota_joined';
    end if;

    if participation.id is null then
        insert into challenges.participants as p (challenge_id, user_id, timezone, joined_at, timezone_since)
        select c.id, u.id, coalesce(zone, u.timezone), at, at from identity.users u where u.id = person
        returning p.* into participation;
    else
        update challenges.participants p set left_at = null, barred_code = null, returned_at = at
        where p.id = participation.id;
        perform notifications.resume_reminders(participation.id, participation.left_at, at, array(
            select w.local_date from challenges.windows w
            where w.participant_id = participation.id and w.outcome is not null
        ));
    end if;
    return query select c.id, participation.id, participation.timezone, true;
end
$$;

-- End a participation. The row stays, with its dates and missed windows, so that leaving and rejoining erases nothing.
-- `barred`: the owner removes the participant. Lock order: the challenge, the participant, their reminders.
create or replace function challenges.end_participation(
    challenge uuid, participant uuid, barred boolean, at timestamptz
)
returns void
language plpgsql security definer set search_path = '' as $$
declare
    code_number integer;
    was_present boolean;
begin
    select c.invite_code_number into code_number from challenges.challenges c where c.id = challenge
    for no key update;
    update challenges.participants p
    set left_at = coalesce(p.left_at, at),
        barred_code = case when barred then code_number else p.barred_code end
    where p.id = participant
    returning old.left_at is null into was_present;
    if was_present then
        perform notifications.clear_reminders(participant, at);
    end if;
end
$$;

-- Return whether the actor takes or took part; leaving again changes nothing.
create or replace function challenges.leave(challenge uuid, at timestamptz) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    participation uuid;
begin
    perform core.check_present(at);
    select p.id into participation from challenges.participants p
    where p.challenge_id = challenge and p.user_id = core.actor();
    if participation is null then
        return false;
    end if;
    if exists (select from challenges.challenges c where c.id = challenge and c.owner_id = core.actor()) then
        raise exception 'the owner cannot leave'
        using errcode = 'check_violation', constraint = 'challenges_owner_cannot_leave';
    end if;
    perform challenges.end_participation(challenge, participation, false, at);
    return true;
end
$$;

-- Remove a participant from the actor's own challenge. Return the user's id, null if there is no such participant.
create or replace function challenges.remove(challenge uuid, participant uuid, at timestamptz) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    person uuid;
begin
    perform core.check_present(at);
    select p.user_id into person
    from challenges.participants p join challenges.challenges c on c.id = p.challenge_id
    where p.id = participant and c.id = challenge and c.owner_id = core.actor() and c.status <> 'deleted';
    if person = core.actor() then
        raise exception 'the owner cannot leave'
        using errcode = 'check_violation', constraint = 'challenges_owner_cannot_leave';
    end if;
    if person is not null then
        perform challenges.end_participation(challenge, participant, true, at);
    end if;
    return person;
end
$$;

revoke all on function
    challenges.takes_part, challenges.shows_roster, challenges.check_joinable, challenges.update_participant_count,
    challenges.count_participants_now, challenges.join, challenges.end_participation, challenges.leave,
    challenges.remove
from public, chally_app, chally_system;
grant execute on function challenges.takes_part, challenges.shows_roster to chally_app, chally_system;
grant execute on function
    challenges.count_participants_now, challenges.join, challenges.leave, challenges.remove
to chally_app;

create trigger participants_timezone before insert or update of timezone on challenges.participants
for each row execute function core.check_timezone();

create constraint trigger participants_counted
after insert or delete or update of left_at on challenges.participants
deferrable initially deferred
for each row execute function challenges.update_participant_count();

create policy participants_owner on challenges.participants to chally_owner using (true);
create policy participants_system on challenges.participants to chally_system using (true);
create policy participants_roster on challenges.participants for select to chally_app
using (user_id = core.actor() or left_at is null and challenges.shows_roster(challenge_id));

revoke all on challenges.participants from chally_app, chally_system;
grant select on challenges.participants to chally_system;
grant select on challenges.participants to chally_app;
