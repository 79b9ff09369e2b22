"""Windows of one person cost as little as they are: their challenge is found by its index, not by reading all of them.

Neither function joins by nested loops (see 0009), and so `in (select …)` read the table of challenges as a whole, at
every look at one's current window and at every join. An array is looked up by the index whatever the joins.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# As in 0009, but for how its challenges are found.
COMPUTED = """
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
    $$
"""

# In whatever `plan` is by now: the same, of its reminders.
PLAN = """
    do $$
    declare
        was constant text := pg_get_functiondef('challenges.plan(uuid[], timestamptz, text)'::regprocedure);
        is_now constant text := replace(
            was, 'c.id in (select p.challenge_id from challenges.participants p where p.id = any (plan.people))',
            'c.id = any (array(select p.challenge_id from challenges.participants p where p.id = any (plan.people)))'
        );
    begin
        if is_now = was then
            raise exception 'challenges.plan does not find its challenges as it did';
        end if;
        execute is_now;
    end
    $$
"""


def upgrade() -> None:
    op.execute(COMPUTED)
    op.execute(PLAN)
