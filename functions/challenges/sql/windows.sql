-- requires: core/actor, notifications/reminders, challenges/instants

create or replace function challenges.schedule(rules jsonb,
    out opens time, out closes time, out length interval, out days jsonb, out local boolean, out remind integer)
language sql immutable parallel safe
return (
    (rules #>> '{schedule,opens}')::time,
    (rules #>> '{schedule,closes}')::time,
    -- on the wall clock; closing at or before the opening is on the next day
    (rules #>> '{schedule,closes}')::time - (rules #>> '{schedule,opens}')::time + case
        when (rules #>> '{schedule,closes}')::time <= (rules #>> '{schedule,opens}')::time
        then interval '1 day' else interval '0' end,
    rules #> '{schedule,days}',
    rules #>> '{schedule,scope}' <> 'challenge_tz',
    (rules #>> '{reminders,before_close_minutes}')::integer
);

-- The windows of people who have not changed their zone since they joined (the others' are all stored): rules 1 to 5.
-- Participants of one challenge in one zone share their windows, which are computed once for all of them. Where `first`
-- and `last` are null, dates count from the local date of `at`, or of the challenge's start.
create or replace function challenges.computed(
    people uuid[], first date, last date, at timestamptz, back integer, ahead integer, from_start boolean
)
returns table (participant_id uuid, local_date date, opens_at timestamptz, closes_at timestamptz, timezone text)
-- the planner cannot know how many people are asked for, and would join a thousand as it does one
language sql stable set search_path = '' set enable_nestloop = off as $$
    with asked as materialized (
        select p.id, p.joined_at, p.challenge_id, p.timezone
        from challenges.participants p where p.id = any (computed.people) and p.timezone_since = p.joined_at
    ),
    challenge as materialized (
        select c.id, c.timezone, c.starts_at, c.ends_at, schedule.*
        from challenges.challenges c cross join lateral challenges.schedule(c.rules) as schedule
        where c.id = any (array(select asked.challenge_id from asked))
    ),
    -- `zone`: the one that counts; `timezone`: the participants'
    shared as (
        select c.*, of.timezone as theirs, scope.zone,
               coalesce(computed.first, (looked.seen at time zone scope.zone)::date - computed.back) as first,
               coalesce(computed.last, (looked.seen at time zone scope.zone)::date + computed.ahead) as last
        from (select distinct asked.challenge_id, asked.timezone from asked) as of
        join challenge c on c.id = of.challenge_id
        cross join lateral (select case when c.local then of.timezone else c.timezone end as zone) as scope
        cross join lateral (
            select case when computed.from_start then greatest(computed.at, c.starts_at) else computed.at end
            as seen
        ) as looked
    ),
    found as (
        select s.*, day::date as day, i.opening, i.closing
        from shared s
        -- one day more before the first: its window may reach into the next (rule 2)
        cross join lateral generate_series(s.first - 1, s.last, interval '1 day') as day
        cross join lateral challenges.instants(s.zone, day::date + s.opens, day::date + s.opens + s.length) as i
        where s.days ? to_char(day, 'dy')
          -- rule 4: a date that the zone skipped reads back as another one
          and ((day::date + time '12:00') at time zone s.zone at time zone s.zone)::date = day::date
    ),
    apart as (
        -- rule 2: where two would overlap, the later opens when the earlier closes
        select f.*, greatest(
            f.opening, lag(f.closing) over (partition by f.id, f.theirs order by f.day)
        ) as begins
        from found f
    ),
    windows as materialized (
        select a.id, a.theirs, a.zone, a.day, w.opens_at, w.closes_at
        from apart a
        cross join lateral (
            -- rule 3: where nothing is left, it closes its nominal length after it opens; rule 5: clipped
            select greatest(a.begins, a.starts_at) as opens_at,
                   least(a.ends_at, case when a.closing > a.begins then a.closing
                       else (a.begins at time zone a.zone + a.length) at time zone a.zone end) as closes_at
        ) as w
        where a.day >= a.first and w.opens_at < w.closes_at
    )
    select p.id, w.day, w.opens_at, w.closes_at, w.zone
    from asked p join windows w on w.id = p.challenge_id and w.theirs = p.timezone
    where w.closes_at > p.joined_at
$$;

-- What is stored is there, whatever would be computed today.
create or replace function challenges.present(
    people uuid[], first date, last date, at timestamptz, back integer, ahead integer, from_start boolean
)
returns table (
    participant_id uuid, local_date date, opens_at timestamptz, closes_at timestamptz, timezone text, tzdata text,
    outcome text, stored boolean
)
language sql stable set search_path = '' as $$
    select participant_id, local_date, coalesce(w.opens_at, c.opens_at), coalesce(w.closes_at, c.closes_at),
           coalesce(w.timezone, c.timezone), w.tzdata, w.outcome, w.participant_id is not null
    from challenges.computed(
        present.people, present.first, present.last, present.at, present.back, present.ahead, present.from_start
    ) as c
    full join (
        select s.* from challenges.windows s
        where s.participant_id = any (present.people)
          -- where no dates are named: a day more than anybody's, the reader looks at the instants
          and s.local_date >= coalesce(present.first, (present.at at time zone 'UTC')::date - present.back - 1)
          and s.local_date <= coalesce(present.last, 'infinity')
    ) as w using (participant_id, local_date)
$$;

-- Store the missing windows around `at`, and plan their reminders; those of past windows too, so that every window has a
-- record. It can be called for anyone, any number of times: it writes what the rules say.
create or replace function challenges.plan(people uuid[], at timestamptz, tzdata text) returns void
language sql security definer set search_path = '' set enable_nestloop = off as $$
    with reminding as materialized (
        select c.id, c.title, schedule.remind
        from challenges.challenges c cross join lateral challenges.schedule(c.rules) as schedule
        where schedule.remind is not null
          and c.id = any (array(select p.challenge_id from challenges.participants p where p.id = any (plan.people)))
    ),
    planned as (
        insert into challenges.windows (participant_id, local_date, opens_at, closes_at, timezone, tzdata)
        select c.participant_id, c.local_date, c.opens_at, c.closes_at, c.timezone, plan.tzdata
        from challenges.computed(plan.people, null, null, plan.at, 1, 2, false) as c
        order by c.participant_id, c.local_date
        on conflict do nothing
        returning participant_id, local_date, opens_at, closes_at, timezone
    )
    select notifications.remind(
        array_agg(row(
            w.participant_id, w.local_date, p.user_id, c.title, w.timezone, w.opens_at, w.closes_at, c.remind
        )::notifications.window),
        plan.at
    )
    from reminding c
    join challenges.participants p on p.challenge_id = c.id
    join planned w on w.participant_id = p.id
    where p.id = any (plan.people)
$$;

-- The reminders, where they are missing, of stored windows around `at` of people who have changed their zone: `plan`
-- makes those of the windows that it stores. It may be called for anybody, any number of times.
create or replace function challenges.remind(people uuid[], at timestamptz) returns void
language sql security definer set search_path = '' as $$
    select notifications.remind(
        array_agg(row(
            w.participant_id, w.local_date, p.user_id, c.title, w.timezone, w.opens_at, w.closes_at, schedule.remind
        )::notifications.window order by w.participant_id, w.local_date),
        remind.at
    )
    from challenges.participants p
    join challenges.challenges c on c.id = p.challenge_id
    cross join lateral challenges.schedule(c.rules) as schedule
    cross join lateral (
        select x.* from challenges.windows x
        where x.participant_id = p.id
          -- a day more than anybody's yesterday to the day after tomorrow
          and x.local_date between (remind.at at time zone 'UTC')::date - 2
              and (remind.at at time zone 'UTC')::date + 3
        offset 0 -- by the index, one by one: the planner cannot know how few have moved
    ) as w
    where p.id = any (remind.people) and p.timezone_since <> p.joined_at
      and schedule.remind is not null and w.closes_at > remind.at and w.outcome is null
      and not exists (
          select from notifications.reminders r
          where r.participant_id = w.participant_id and r.local_date = w.local_date
      )
$$;

-- After an edit before the start: everybody's dates anew, from the zone they are in now.
create or replace function challenges.replan(challenge uuid, at timestamptz, tzdata text) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if not exists (
        select from challenges.challenges c where c.id = replan.challenge and c.starts_at > replan.at
          and (session_user <> 'chally_app' or c.owner_id = core.actor())
    ) then
        return;
    end if;
    delete from notifications.reminders r using challenges.participants p
    where p.challenge_id = replan.challenge and r.participant_id = p.id;
    delete from challenges.windows w using challenges.participants p
    where p.challenge_id = replan.challenge and w.participant_id = p.id;
    update challenges.participants p set timezone_since = p.joined_at
    where p.challenge_id = replan.challenge and p.timezone_since <> p.joined_at;
    perform challenges.plan(
        (select array_agg(p.id) from challenges.participants p where p.challenge_id = replan.challenge),
        replan.at, replan.tzdata
    );
end
$$;

revoke execute on function
    challenges.schedule, challenges.computed, challenges.present, challenges.plan,
    challenges.remind, challenges.replan
from public;
grant execute on function
    challenges.schedule, challenges.computed, challenges.present, challenges.plan,
    challenges.remind, challenges.replan
to chally_app, chally_system;

create policy windows_owner on challenges.windows to chally_owner using (true);
create policy windows_system on challenges.windows to chally_system using (true);
create policy windows_own on challenges.windows to chally_app
using (exists (select from challenges.participants p where p.id = participant_id and p.user_id = core.actor()))
with check (
    exists (select from challenges.participants p where p.id = participant_id and p.user_id = core.actor())
);

revoke all on challenges.windows from chally_app, chally_system;
grant select, insert, update, delete on challenges.windows to chally_system;
grant select on challenges.windows to chally_app;
