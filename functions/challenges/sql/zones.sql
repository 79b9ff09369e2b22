-- requires: core/clock, core/tzdata, challenges/windows

-- Rule 6: the windows of a participant after a change of zone at `at`, beside what they were. `stays`: it had opened.
--
-- A later date takes the new zone's window if that opens after `at` and is not empty; otherwise it keeps its old one.
-- Then rules 2 and 3 hold between neighbours. If this leaves nothing of a window at the challenge's end, it keeps its
-- old one, and the date before closes when it opens; if that leaves the date before less than an hour, it keeps its old
-- one, too, and so on backwards. So no date is lost.
create or replace function challenges.windows_after_zone_change(participant uuid, zone text, at timestamptz)
returns table (
    local_date date, opens_at timestamptz, closes_at timestamptz, timezone text, old_opens_at timestamptz,
    old_closes_at timestamptz, old_timezone text, stays boolean
)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
declare
    challenge record;
    dates date[];
    old_zones text[]; old_opens timestamptz[]; old_closes timestamptz[];
    zones text[]; opens timestamptz[]; closes timestamptz[];
    first_later integer := 1; -- of the dates that have not opened
    previous_close timestamptz;
    i integer; j integer;
begin
    select c.starts_at, c.ends_at, schedule.* into challenge
    from challenges.participants p
    join challenges.challenges c on c.id = p.challenge_id
    cross join lateral challenges.schedule(c.rules) as schedule
    where p.id = windows_after_zone_change.participant;

    -- the old windows, and for the same dates the new zone's, if they exist, open after `at` and are not empty
    select array_agg(w.local_date order by w.local_date), array_agg(w.timezone order by w.local_date),
           array_agg(w.opens_at order by w.local_date), array_agg(w.closes_at order by w.local_date),
           array_agg(n.opening order by w.local_date), array_agg(n.closing order by w.local_date)
    into dates, old_zones, old_opens, old_closes, opens, closes
    from challenges.effective_windows(
        array[windows_after_zone_change.participant], (challenge.starts_at at time zone 'UTC')::date - 2,
        (challenge.ends_at at time zone 'UTC')::date + 2, windows_after_zone_change.at, 0, 0, false
    ) as w
    left join lateral (
        select x.* from core.instants(
            windows_after_zone_change.zone, w.local_date + challenge.opens,
            w.local_date + challenge.opens + challenge.length
        ) as x
        -- rule 4: the new zone has this date
        where ((w.local_date + time '12:00') at time zone windows_after_zone_change.zone
                at time zone windows_after_zone_change.zone)::date = w.local_date
          and greatest(x.opening, challenge.starts_at) > windows_after_zone_change.at
          and greatest(x.opening, challenge.starts_at) < least(x.closing, challenge.ends_at)
    ) as n on w.opens_at > windows_after_zone_change.at;
    if dates is null then
        return;
    end if;

    zones := old_zones;
    for i in 1 .. cardinality(dates) loop
        if old_opens[i] <= windows_after_zone_change.at then -- it has opened: it stays
            opens[i] := old_opens[i];
            closes[i] := old_closes[i];
            first_later := i + 1;
        else
            if opens[i] is null then -- the new zone has no window for it
                opens[i] := old_opens[i];
                closes[i] := old_closes[i];
            else
                zones[i] := windows_after_zone_change.zone;
            end if;
            opens[i] := greatest(opens[i], previous_close, challenge.starts_at); -- rules 2 and 5
            if closes[i] <= opens[i] then -- rule 3
                closes[i] := (opens[i] at time zone zones[i] + challenge.length) at time zone zones[i];
            end if;
            closes[i] := least(closes[i], challenge.ends_at);
            if closes[i] <= opens[i] then -- no room before the challenge's end: go back to the old windows
                j := i;
                loop
                    opens[j] := old_opens[j];
                    closes[j] := old_closes[j];
                    zones[j] := old_zones[j];
                    exit when j = first_later or closes[j - 1] <= opens[j];
                    if opens[j] - opens[j - 1] >= least(challenge.length, interval '1 hour') then
                        closes[j - 1] := opens[j];
                        exit;
                    end if;
                    j := j - 1;
                end loop;
            end if;
        end if;
        previous_close := closes[i];
    end loop;
    return query
    select w.*, w.old_opens_at <= windows_after_zone_change.at
    from unnest(dates, opens, closes, zones, old_opens, old_closes, old_zones)
        as w (local_date, opens_at, closes_at, timezone, old_opens_at, old_closes_at, old_timezone);
end
$$;

-- Change the zone of one participant at `at`: store their windows by rule 6, and plan the next days' reminders.
-- `for no key update`: foreign keys do not refer to the changed columns, so inserts that refer to the participant need
-- not wait. A draft has no windows yet. A window that stays keeps the tzdata release that it was computed with.
create or replace function challenges.change_participant_zone(
    participant uuid, zone text, at timestamptz, tzdata text
)
returns void
language plpgsql security definer set search_path = '' as $$
declare
    moves_windows boolean;
begin
    select schedule.local and c.status <> 'draft' into moves_windows
    from challenges.participants p
    join challenges.challenges c on c.id = p.challenge_id
    cross join lateral challenges.schedule(c.rules) as schedule
    where p.id = change_participant_zone.participant and p.timezone <> change_participant_zone.zone
      and c.ends_at > change_participant_zone.at -- a challenge that is over does not change
    for no key update of p;
    if moves_windows is null then
        return; -- the zone is the same, or the challenge is over
    end if;
    if moves_windows then
        insert into challenges.windows as w (participant_id, local_date, opens_at, closes_at, timezone, tzdata)
        select change_participant_zone.participant, n.local_date, n.opens_at, n.closes_at, n.timezone,
               change_participant_zone.tzdata
        from challenges.windows_after_zone_change(
            change_participant_zone.participant, change_participant_zone.zone, change_participant_zone.at
        ) as n
        -- a stored window that stays is not even locked: it may be decided right now, and standings wait for windows
        where not n.stays or not exists (
            select from challenges.windows s
            where s.participant_id = change_participant_zone.participant and s.local_date = n.local_date
        )
        on conflict on constraint windows_pkey do update set
            opens_at = excluded.opens_at, closes_at = excluded.closes_at, timezone = excluded.timezone,
            tzdata = excluded.tzdata
        where w.opens_at > change_participant_zone.at and w.outcome is null
          and (w.opens_at, w.closes_at, w.timezone) <> (excluded.opens_at, excluded.closes_at, excluded.timezone);
    end if;
    update challenges.participants p
    set timezone = change_participant_zone.zone,
        -- later than joined_at: from now on all windows are stored, and none is computed
        timezone_since = case
            when moves_windows then greatest(change_participant_zone.at, p.joined_at + interval '1 microsecond')
            else p.timezone_since end
    where p.id = change_participant_zone.participant;
    if moves_windows then
        delete from notifications.reminders r using challenges.windows w
        where r.participant_id = change_participant_zone.participant and r.sent_at is null and r.cleared_at is null
          and w.participant_id = r.participant_id and w.local_date = r.local_date
          and w.opens_at > change_participant_zone.at;
        perform challenges.plan_reminders(
            array[change_participant_zone.participant], change_participant_zone.at
        );
    end if;
end
$$;

-- Change the zone of the actor's own participation.
create or replace function challenges.change_own_zone(participant uuid, zone text, at timestamptz) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if core.check_present(change_own_zone.at) and exists (
        select from challenges.participants p
        where p.id = change_own_zone.participant and p.user_id = core.actor()
    ) then
        perform challenges.change_participant_zone(
            change_own_zone.participant, change_own_zone.zone, change_own_zone.at, core.tzdata_release()
        );
    end if;
end
$$;

-- The participations of a person that follow their account's zone: those that are not over and have the same zone. If
-- they joined a challenge in a different zone, it keeps that. `local`: its windows are in the participant's zone.
create or replace function challenges.participations_in_account_zone(person uuid, at timestamptz)
returns table (participant_id uuid, challenge_id uuid, title text, status text, local boolean)
language sql stable set search_path = ''
begin atomic
    select p.id, c.id, c.title, c.status, schedule.local
    from identity.users u
    join challenges.participants p on p.user_id = u.id and p.timezone = u.timezone
    join challenges.challenges c on c.id = p.challenge_id
    cross join lateral challenges.schedule(c.rules) as schedule
    where u.id = participations_in_account_zone.person and p.left_at is null
      and c.status in ('draft', 'active', 'paused') and c.ends_at > participations_in_account_zone.at;
end;

-- Move the participations that follow a person's account to a new zone. Call it before the account changes, in the
-- same transaction. The first lock excludes joins of this person, so that a new participation has one zone or the
-- other, and is not missed. The second locks exclude edits of the schedules. All in the order of ids, to avoid
-- deadlocks.
create or replace function challenges.change_account_zone(person uuid, zone text, at timestamptz, tzdata text)
returns void
language plpgsql set search_path = '' as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('challenges of ' || person, 0));
    perform pg_advisory_xact_lock_shared(hashtextextended('schedule of ' || ids.challenge_id, 0))
    from (
        select f.challenge_id from challenges.participations_in_account_zone(person, at) f order by f.challenge_id
    ) as ids;
    perform challenges.change_participant_zone(ids.participant_id, zone, at, tzdata)
    from (
        select f.participant_id from challenges.participations_in_account_zone(person, at) f order by f.participant_id
    ) as ids;
end
$$;

revoke all on function
    challenges.windows_after_zone_change, challenges.change_participant_zone, challenges.change_own_zone,
    challenges.participations_in_account_zone, challenges.change_account_zone
from public, chally_app, chally_system;
grant execute on function challenges.windows_after_zone_change, challenges.participations_in_account_zone
to chally_app, chally_system;
grant execute on function challenges.change_own_zone to chally_app;
grant execute on function challenges.change_participant_zone, challenges.change_account_zone to chally_system;
