-- requires: challenges/windows

-- Rule 6: what a change of zone at `at` makes of every date that has not opened. `stays`: it had opened. A date whose
-- window would come out empty, at the challenge's end, keeps the one it had, and the date before closes when that opens;
-- where this leaves less of it than an hour, it keeps its own too, and so on: no date is lost.
create or replace function challenges.moved(participant uuid, zone text, at timestamptz)
returns table (
    local_date date, opens_at timestamptz, closes_at timestamptz, timezone text, had_opened_at timestamptz,
    had_closed_at timestamptz, stays boolean
)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
declare
    challenge record;
    days date[]; zones text[]; new_zones text[];
    had_opened timestamptz[]; had_closed timestamptz[];
    opening timestamptz[]; closing timestamptz[];
    first_later integer; earlier timestamptz; i integer; j integer;
begin
    select c.starts_at, c.ends_at, schedule.* into challenge
    from challenges.participants p
    join challenges.challenges c on c.id = p.challenge_id
    cross join lateral challenges.schedule(c.rules) as schedule
    where p.id = moved.participant;

    -- the windows as they are, and the new zone's own for the same dates, where those exist and open after `at`
    select array_agg(w.local_date order by w.local_date), array_agg(w.timezone order by w.local_date),
           array_agg(w.opens_at order by w.local_date), array_agg(w.closes_at order by w.local_date),
           array_agg(n.opening order by w.local_date), array_agg(n.closing order by w.local_date)
    into days, zones, had_opened, had_closed, opening, closing
    from challenges.present(
        array[moved.participant], (challenge.starts_at at time zone 'UTC')::date - 2,
        (challenge.ends_at at time zone 'UTC')::date + 2, moved.at, 0, 0, false
    ) as w
    left join lateral (
        select x.* from challenges.instants(
            moved.zone, w.local_date + challenge.opens, w.local_date + challenge.opens + challenge.length
        ) as x
        where ((w.local_date + time '12:00') at time zone moved.zone at time zone moved.zone)::date = w.local_date
          and greatest(x.opening, challenge.starts_at) > moved.at
          and greatest(x.opening, challenge.starts_at) < least(x.closing, challenge.ends_at)
    ) as n on w.opens_at > moved.at;
    if days is null then
        return;
    end if;

    new_zones := zones;
    first_later := 1;
    for i in 1 .. cardinality(days) loop
        if had_opened[i] <= moved.at then
            opening[i] := had_opened[i];
            closing[i] := had_closed[i];
            first_later := i + 1;
        else
            if opening[i] is null then
                opening[i] := had_opened[i];
                closing[i] := had_closed[i];
            else
                new_zones[i] := moved.zone;
            end if;
            opening[i] := greatest(opening[i], earlier, challenge.starts_at);
            if closing[i] <= opening[i] then
                closing[i] := (opening[i] at time zone new_zones[i] + challenge.length) at time zone new_zones[i];
            end if;
            closing[i] := least(closing[i], challenge.ends_at);
            if closing[i] <= opening[i] then
                j := i;
                loop
                    opening[j] := had_opened[j];
                    closing[j] := had_closed[j];
                    new_zones[j] := zones[j];
                    exit when j = first_later or closing[j - 1] <= opening[j];
                    if opening[j] - opening[j - 1] >= least(challenge.length, interval '1 hour') then
                        closing[j - 1] := opening[j];
                        exit;
                    end if;
                    j := j - 1;
                end loop;
            end if;
        end if;
        earlier := closing[i];
    end loop;
    return query
    select w.*, w.had_opened <= moved.at
    from unnest(days, opening, closing, new_zones, had_opened, had_closed)
        as w (local_date, opens_at, closes_at, timezone, had_opened, had_closed);
end
$$;

-- Move a participant to another zone at `at`: store the windows that `moved` computes, and plan the next days' reminders.
-- `for no key update`: foreign keys do not refer to the changed columns, so that inserts which refer to the participant
-- need not wait. A draft has no windows yet. A window that stays keeps the tzdata release that it was computed with.
create or replace function challenges.move(participant uuid, zone text, at timestamptz, tzdata text) returns void
language plpgsql security definer set search_path = '' as $$
declare
    moves boolean;
begin
    select schedule.local and c.status <> 'draft' into moves
    from challenges.participants p
    join challenges.challenges c on c.id = p.challenge_id
    cross join lateral challenges.schedule(c.rules) as schedule
    where p.id = move.participant and p.timezone <> move.zone
      and c.ends_at > move.at -- what is over stays as it was
      and (session_user <> 'chally_app' or p.user_id = core.actor())
    for no key update of p;
    if moves is null then
        return;  -- it is their zone already, it is over, or the place is not theirs
    end if;
    if moves then
        insert into challenges.windows as w (participant_id, local_date, opens_at, closes_at, timezone, tzdata)
        select move.participant, m.local_date, m.opens_at, m.closes_at, m.timezone, move.tzdata
        from challenges.moved(move.participant, move.zone, move.at) as m
        -- what stays and is stored is not even held: it may be decided just now, and standings wait for windows
        where not m.stays or not exists (
            select from challenges.windows s
            where s.participant_id = move.participant and s.local_date = m.local_date
        )
        on conflict on constraint windows_pkey do update set
            opens_at = excluded.opens_at, closes_at = excluded.closes_at, timezone = excluded.timezone,
            tzdata = excluded.tzdata
        where w.opens_at > move.at and w.outcome is null
          and (w.opens_at, w.closes_at, w.timezone) <> (excluded.opens_at, excluded.closes_at, excluded.timezone);
    end if;
    update challenges.participants p
    set timezone = move.zone,
        -- later than joined_at: from here on all windows are stored, and none is computed
        timezone_since = case when moves then greatest(move.at, p.joined_at + interval '1 microsecond')
            else p.timezone_since end
    where p.id = move.participant;
    if moves then
        delete from notifications.reminders r using challenges.windows w
        where r.participant_id = move.participant and r.sent_at is null and r.cleared_at is null
          and w.participant_id = r.participant_id and w.local_date = r.local_date and w.opens_at > move.at;
        perform challenges.remind(array[move.participant], move.at);
    end if;
end
$$;

-- The places that a change of the account's zone takes along: those that are not over, and go by that zone. Whoever gave
-- a challenge a zone of its own keeps it there. `local`: its windows go by the participant's zone.
create or replace function challenges.following(person uuid, at timestamptz)
returns table (participant_id uuid, challenge_id uuid, title text, status text, local boolean)
language sql stable set search_path = ''
begin atomic
    select p.id, c.id, c.title, c.status, schedule.local
    from identity.users u
    join challenges.participants p on p.user_id = u.id and p.timezone = u.timezone
    join challenges.challenges c on c.id = p.challenge_id
    cross join lateral challenges.schedule(c.rules) as schedule
    where u.id = following.person and p.left_at is null
      and c.status in ('draft', 'active', 'paused') and c.ends_at > following.at;
end;

-- Called before the account has its new zone, in the same transaction. Whoever joins meanwhile waits, or is waited for:
-- they come by one of the two zones, and not too late to be taken along. No schedule is edited while windows are made
-- of it. All in the order of ids: two that come at once wait for each other, and never in a circle.
create or replace function challenges.person_moved(person uuid, zone text, at timestamptz, tzdata text) returns void
language plpgsql set search_path = '' as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('challenges of ' || person, 0));
    perform pg_advisory_xact_lock_shared(hashtextextended('schedule of ' || ids.challenge_id, 0))
    from (select f.challenge_id from challenges.following(person, at) f order by f.challenge_id) as ids;
    perform challenges.move(ids.participant_id, zone, at, tzdata)
    from (select f.participant_id from challenges.following(person, at) f order by f.participant_id) as ids;
end
$$;

revoke execute on function
    challenges.moved, challenges.move, challenges.following, challenges.person_moved
from public;
grant execute on function challenges.moved, challenges.move, challenges.following to chally_app, chally_system;
grant execute on function challenges.person_moved to chally_system;
