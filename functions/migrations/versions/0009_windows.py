"""Windows become the database's own work: computed, planned and moved by functions, and written by nobody else."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# When a schedule is open on each date: rules 1 and 4. Postgres moves a time in a gap forward, and takes the second
# occurrence in an overlap, which is right for a close. The first one, for an opening, is found with the offset of the
# day before; a time that is not in an overlap reads back otherwise.
INSTANTS = """
    create function challenges.instants(zone text, opens_wall timestamp, closes_wall timestamp,
        out opening timestamptz, out closing timestamptz)
    language sql stable parallel safe
    return (
        case when (opens_wall - (
                ((opens_wall at time zone zone) - interval '24 hours') at time zone zone
                - ((opens_wall at time zone zone) - interval '24 hours') at time zone 'UTC'
            )) at time zone 'UTC' at time zone zone = opens_wall
            then (opens_wall - (
                ((opens_wall at time zone zone) - interval '24 hours') at time zone zone
                - ((opens_wall at time zone zone) - interval '24 hours') at time zone 'UTC'
            )) at time zone 'UTC'
            else opens_wall at time zone zone end,
        closes_wall at time zone zone
    )
"""

# The windows of people who have not changed their zone since they joined (what others have is stored, all of it):
# rules 1 to 5. Whoever shares a challenge and a zone shares its windows: they are found once for all of them. Where
# `first` and `last` are null they count from the local date of `at`, or of the challenge's start.
COMPUTED = """
    create function challenges.computed(
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
            where c.id in (select asked.challenge_id from asked)
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
    $$
"""

SCHEDULE = """
    create function challenges.schedule(rules jsonb,
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
    )
"""

# What is stored is there, whatever would be computed today.
PRESENT = """
    create function challenges.present(
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
    $$
"""

# Store what is missing around `at`, with its reminders. It may be called for anybody, any number of times: what it
# writes is what the rules say.
PLAN = """
    create function challenges.plan(people uuid[], at timestamptz, tzdata text) returns void
    language sql security definer set search_path = '' set enable_nestloop = off as $$
        with reminding as materialized (
            select c.id, c.title, schedule.remind
            from challenges.challenges c cross join lateral challenges.schedule(c.rules) as schedule
            where schedule.remind is not null
              and c.id in (select p.challenge_id from challenges.participants p where p.id = any (plan.people))
        ),
        planned as (
            insert into challenges.windows (participant_id, local_date, opens_at, closes_at, timezone, tzdata)
            select c.participant_id, c.local_date, c.opens_at, c.closes_at, c.timezone, plan.tzdata
            from challenges.computed(plan.people, null, null, plan.at, 1, 2, false) as c
            order by c.participant_id, c.local_date
            on conflict do nothing
            returning participant_id, local_date, opens_at, closes_at, timezone
        )
        insert into notifications.reminders as r
            (participant_id, local_date, user_id, title, timezone, due_at, closes_at)
        select w.participant_id, w.local_date, p.user_id, c.title, w.timezone,
               greatest(w.opens_at, w.closes_at - make_interval(mins => c.remind)), w.closes_at
        from reminding c
        join challenges.participants p on p.challenge_id = c.id
        join planned w on w.participant_id = p.id
        where p.id = any (plan.people) and w.closes_at > plan.at
        on conflict do nothing
    $$
"""

# Rule 6: what a change of zone at `at` makes of every date that has not opened. `stays`: it had opened. A date whose
# window would come out empty, at the challenge's end, keeps the one it had, and the date before closes when that opens;
# where this leaves less of it than an hour, it keeps its own too, and so on: no date is lost.
MOVED = """
    create function challenges.moved(participant uuid, zone text, at timestamptz)
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
    $$
"""

MOVE = """
    create function challenges.move(participant uuid, zone text, at timestamptz, tzdata text) returns void
    language plpgsql security definer set search_path = '' as $$
    declare
        local boolean;
    begin
        select schedule.local into local
        from challenges.participants p
        join challenges.challenges c on c.id = p.challenge_id
        cross join lateral challenges.schedule(c.rules) as schedule
        where p.id = move.participant and p.timezone <> move.zone
          and (session_user <> 'chally_app' or p.user_id = core.actor())
        for update of p;
        if local is null then
            return;  -- it is their zone already, or the place is not theirs
        end if;
        if local then
            insert into challenges.windows as w (participant_id, local_date, opens_at, closes_at, timezone, tzdata)
            select move.participant, m.local_date, m.opens_at, m.closes_at, m.timezone, move.tzdata
            from challenges.moved(move.participant, move.zone, move.at) as m
            on conflict on constraint windows_pkey do update set
                opens_at = excluded.opens_at, closes_at = excluded.closes_at, timezone = excluded.timezone,
                tzdata = excluded.tzdata
            where w.opens_at > move.at and w.outcome is null;
            insert into notifications.reminders as r
                (participant_id, local_date, user_id, title, timezone, due_at, closes_at)
            select w.participant_id, w.local_date, p.user_id, c.title, w.timezone,
                   greatest(w.opens_at, w.closes_at - make_interval(mins => schedule.remind)), w.closes_at
            from challenges.windows w
            join challenges.participants p on p.id = w.participant_id
            join challenges.challenges c on c.id = p.challenge_id
            cross join lateral challenges.schedule(c.rules) as schedule
            where w.participant_id = move.participant and w.closes_at > move.at and schedule.remind is not null
            on conflict on constraint reminders_pkey do update set
                title = excluded.title, timezone = excluded.timezone, due_at = excluded.due_at,
                closes_at = excluded.closes_at
            where r.sent_at is null;
        end if;
        update challenges.participants p
        set timezone = move.zone,
            -- later than joined_at: from here on all windows are stored, and none is computed
            timezone_since = case when local then greatest(move.at, p.joined_at + interval '1 microsecond')
                else p.timezone_since end
        where p.id = move.participant;
    end
    $$
"""

# After an edit before the start: everybody's dates anew, from the zone they are in now.
REPLAN = """
    create function challenges.replan(challenge uuid, at timestamptz, tzdata text) returns void
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
    $$
"""


def upgrade() -> None:
    for function in (SCHEDULE, INSTANTS, COMPUTED, PRESENT, PLAN, MOVED, MOVE, REPLAN):
        op.execute(function)
    for name in ("schedule", "instants", "computed", "present", "plan", "moved", "move", "replan"):
        op.execute(f"revoke execute on function challenges.{name} from public")
        op.execute(f"grant execute on function challenges.{name} to chally_app, chally_system")

    # What was half moved before is computed again: nothing of it had been promised further than three days.
    op.execute("update challenges.participants set timezone_since = joined_at where timezone_since <> joined_at")
    op.execute("revoke insert, update on challenges.windows from chally_app")
    op.execute("revoke insert, update on notifications.reminders from chally_app")
    op.execute("revoke update on challenges.participants from chally_app")
