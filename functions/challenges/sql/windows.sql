-- requires: core/actor, core/clock, core/instants, core/tzdata, notifications/reminders

-- The schedule that rules contain. `local`: in the participant's zone, not the challenge's; `remind`: minutes before
-- the close, null for no reminder.
create or replace function challenges.schedule(rules jsonb,
    out opens time, out closes time, out length interval, out days jsonb, out local boolean, out remind integer)
language sql immutable parallel safe
return (
    (rules #>> '{schedule,opens}')::time,
    (rules #>> '{schedule,closes}')::time,
    -- on the wall clock; if it does not close later than it opens, it closes on the next day
    (rules #>> '{schedule,closes}')::time - (rules #>> '{schedule,opens}')::time + case
        when (rules #>> '{schedule,closes}')::time <= (rules #>> '{schedule,opens}')::time
        then interval '1 day' else interval '0' end,
    rules #> '{schedule,days}',
    rules #>> '{schedule,scope}' <> 'challenge_tz',
    (rules #>> '{reminders,before_close_minutes}')::integer
);

-- Rules 1 to 5: compute the windows of participants who have not changed their zone since they joined (all windows of
-- the others are stored). Participants of one challenge in one zone share their windows, which are computed once for
-- all of them. If `first` and `last` are null, dates are counted from the local date of `at`; with `from_start`, from
-- that of the challenge's start if it is later.
create or replace function challenges.compute_windows(
    people uuid[], first date, last date, at timestamptz, back integer, ahead integer, from_start boolean
)
returns table (participant_id uuid, local_date date, opens_at timestamptz, closes_at timestamptz, timezone text)
-- the planner cannot know the number of people, and would join a thousand as if they were one
language sql stable set search_path = '' set enable_nestloop = off as $$
    with participant as materialized (
        select p.id, p.joined_at, p.challenge_id, p.timezone
        from challenges.participants p
        where p.id = any (compute_windows.people) and p.timezone_since = p.joined_at
    ),
    challenge as materialized (
        select c.id, c.timezone, c.starts_at, c.ends_at, schedule.*
        from challenges.challenges c cross join lateral challenges.schedule(c.rules) as schedule
        where c.id = any (array(select participant.challenge_id from participant))
    ),
    -- `participant_zone`: the participants' own; `zone`: the one that the schedule uses
    shared as (
        select c.*, pair.timezone as participant_zone, used.zone,
               coalesce(compute_windows.first, (base.instant at time zone used.zone)::date - compute_windows.back)
               as first_date,
               coalesce(compute_windows.last, (base.instant at time zone used.zone)::date + compute_windows.ahead)
               as last_date
        from (select distinct participant.challenge_id, participant.timezone from participant) as pair
        join challenge c on c.id = pair.challenge_id
        cross join lateral (select case when c.local then pair.timezone else c.timezone end as zone) as used
        cross join lateral (
            select case when compute_windows.from_start then greatest(compute_windows.at, c.starts_at)
                else compute_windows.at end as instant
        ) as base
    ),
    opening as (
        select s.*, day::date as day, i.opening, i.closing
        from shared s
        -- one day before the first date: its window may reach into the next one (rule 2)
        cross join lateral generate_series(s.first_date - 1, s.last_date, interval '1 day') as day
        cross join lateral core.instants(s.zone, day::date + s.opens, day::date + s.opens + s.length) as i
        where s.days ? to_char(day, 'dy')
          -- rule 4: noon of a date that the zone skipped is on a different date when read back
          and ((day::date + time '12:00') at time zone s.zone at time zone s.zone)::date = day::date
    ),
    disjoint as (
        -- rule 2: where two windows would overlap, the later one opens when the earlier one closes
        select o.*, greatest(
            o.opening, lag(o.closing) over (partition by o.id, o.participant_zone order by o.day)
        ) as begins
        from opening o
    ),
    windows as materialized (
        select d.id, d.participant_zone, d.zone, d.day, w.opens_at, w.closes_at
        from disjoint d
        cross join lateral (
            -- rule 3: if nothing is left, the window closes its nominal length after it opens; rule 5: clipping
            select greatest(d.begins, d.starts_at) as opens_at,
                   least(d.ends_at, case when d.closing > d.begins then d.closing
                       else (d.begins at time zone d.zone + d.length) at time zone d.zone end) as closes_at
        ) as w
        where d.day >= d.first_date and w.opens_at < w.closes_at
    )
    select p.id, w.day, w.opens_at, w.closes_at, w.zone
    from participant p join windows w on w.id = p.challenge_id and w.participant_zone = p.timezone
    where w.closes_at > p.joined_at
$$;

-- The windows of participants: stored ones, and computed ones where none is stored.
create or replace function challenges.effective_windows(
    people uuid[], first date, last date, at timestamptz, back integer, ahead integer, from_start boolean
)
returns table (
    participant_id uuid, local_date date, opens_at timestamptz, closes_at timestamptz, timezone text, tzdata text,
    outcome text, stored boolean
)
language sql stable set search_path = '' as $$
    select participant_id, local_date, coalesce(w.opens_at, c.opens_at), coalesce(w.closes_at, c.closes_at),
           coalesce(w.timezone, c.timezone), w.tzdata, w.outcome, w.participant_id is not null
    from challenges.compute_windows(
        effective_windows.people, effective_windows.first, effective_windows.last, effective_windows.at,
        effective_windows.back, effective_windows.ahead, effective_windows.from_start
    ) as c
    full join (
        select s.* from challenges.windows s
        where s.participant_id = any (effective_windows.people)
          -- without dates, read one day more than any zone needs; the caller filters by instants
          and s.local_date >= coalesce(
              effective_windows.first, (effective_windows.at at time zone 'UTC')::date - effective_windows.back - 1
          )
          and s.local_date <= coalesce(effective_windows.last, 'infinity')
    ) as w using (participant_id, local_date)
$$;

-- Store the missing windows from yesterday to the day after tomorrow, and plan their reminders; those of past windows
-- too, so that every window has a record. At any instant three dates are today somewhere. It can be called any number of
-- times: it writes what the rules say.
create or replace function challenges.precompute_windows(people uuid[], at timestamptz, tzdata text) returns void
language sql security definer set search_path = '' set enable_nestloop = off as $$
    with reminding as materialized (
        select c.id, c.title, schedule.remind
        from challenges.challenges c cross join lateral challenges.schedule(c.rules) as schedule
        where schedule.remind is not null
          and c.id = any (array(
              select p.challenge_id from challenges.participants p where p.id = any (precompute_windows.people)
          ))
    ),
    added as (
        insert into challenges.windows (participant_id, local_date, opens_at, closes_at, timezone, tzdata)
        select c.participant_id, c.local_date, c.opens_at, c.closes_at, c.timezone, precompute_windows.tzdata
        from challenges.compute_windows(
            precompute_windows.people, null, null, precompute_windows.at, back => 1, ahead => 2, from_start => false
        ) as c
        order by c.participant_id, c.local_date
        on conflict do nothing
        returning participant_id, local_date, opens_at, closes_at, timezone
    )
    select notifications.plan_reminders(
        array_agg(row(
            w.participant_id, w.local_date, p.user_id, c.title, w.timezone, w.opens_at, w.closes_at, c.remind
        )::notifications.reminder_window),
        precompute_windows.at
    )
    from reminding c
    join challenges.participants p on p.challenge_id = c.id
    join added w on w.participant_id = p.id
    where p.id = any (precompute_windows.people)
$$;

-- Plan the missing reminders of stored windows around `at`, for participants who have changed their zone.
-- `precompute_windows` plans those of the windows that it stores. It can be called any number of times.
create or replace function challenges.plan_reminders(people uuid[], at timestamptz) returns void
language sql security definer set search_path = '' as $$
    select notifications.plan_reminders(
        array_agg(row(
            w.participant_id, w.local_date, p.user_id, c.title, w.timezone, w.opens_at, w.closes_at, schedule.remind
        )::notifications.reminder_window order by w.participant_id, w.local_date),
        plan_reminders.at
    )
    from challenges.participants p
    join challenges.challenges c on c.id = p.challenge_id
    cross join lateral challenges.schedule(c.rules) as schedule
    cross join lateral (
        select x.* from challenges.windows x
        where x.participant_id = p.id
          -- one day more on each side than the dates that are precomputed in any zone
          and x.local_date between (plan_reminders.at at time zone 'UTC')::date - 2
              and (plan_reminders.at at time zone 'UTC')::date + 3
        offset 0 -- read by the index, one by one: the planner cannot know how few have changed their zone
    ) as w
    where p.id = any (plan_reminders.people) and p.timezone_since <> p.joined_at
      and schedule.remind is not null and w.closes_at > plan_reminders.at and w.outcome is null
      and not exists (
          select from notifications.reminders r
          where r.participant_id = w.participant_id and r.local_date = w.local_date
      )
$$;

-- Store the missing windows of the actor's own participation, with their reminders.
create or replace function challenges.precompute_own_windows(participant uuid, at timestamptz) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if core.check_present(precompute_own_windows.at) and exists (
        select from challenges.participants p
        where p.id = precompute_own_windows.participant and p.user_id = core.actor()
    ) then
        perform challenges.precompute_windows(
            array[precompute_own_windows.participant], precompute_own_windows.at, core.tzdata_release()
        );
        perform challenges.plan_reminders(array[precompute_own_windows.participant], precompute_own_windows.at);
    end if;
end
$$;

-- After an edit before the start, compute all participants' windows again, from the zones they are in now.
create or replace function challenges.recompute_windows(challenge uuid, at timestamptz, tzdata text) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if not exists (
        select from challenges.challenges c
        where c.id = recompute_windows.challenge and c.starts_at > recompute_windows.at
    ) then
        return;
    end if;
    delete from notifications.reminders r using challenges.participants p
    where p.challenge_id = recompute_windows.challenge and r.participant_id = p.id;
    delete from challenges.windows w using challenges.participants p
    where p.challenge_id = recompute_windows.challenge and w.participant_id = p.id;
    update challenges.participants p set timezone_since = p.joined_at
    where p.challenge_id = recompute_windows.challenge and p.timezone_since <> p.joined_at;
    perform challenges.precompute_windows(
        (select array_agg(p.id) from challenges.participants p where p.challenge_id = recompute_windows.challenge),
        recompute_windows.at, recompute_windows.tzdata
    );
end
$$;

revoke all on function
    challenges.schedule, challenges.compute_windows, challenges.effective_windows, challenges.precompute_windows,
    challenges.precompute_own_windows, challenges.plan_reminders, challenges.recompute_windows
from public, chally_app, chally_system;
grant execute on function
    challenges.schedule, challenges.compute_windows, challenges.effective_windows, challenges.precompute_own_windows
to chally_app, chally_system;
grant execute on function challenges.precompute_windows, challenges.plan_reminders to chally_system;

create policy windows_owner on challenges.windows to chally_owner using (true);
create policy windows_system on challenges.windows to chally_system using (true);
create policy windows_own on challenges.windows for select to chally_app
using (exists (select from challenges.participants p where p.id = participant_id and p.user_id = core.actor()));

revoke all on challenges.windows from chally_app, chally_system;
grant select, update (outcome) on challenges.windows to chally_system;
grant select on challenges.windows to chally_app;
