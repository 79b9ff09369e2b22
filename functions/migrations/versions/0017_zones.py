"""A person's zone moves with their account: previewed and done by the same functions."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# The places that a change of the account's zone takes along: those that are not over, and go by that zone. Whoever gave
# a challenge a zone of its own keeps it there. `local`: its windows go by the participant's zone.
FOLLOWING = """
    create function challenges.following(person uuid, at timestamptz)
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
    end
"""

# Called before the account has its new zone, in the same transaction. Whoever joins meanwhile waits, or is waited for:
# they come by one of the two zones, and not too late to be taken along. No schedule is edited while windows are made
# of it. All in the order of ids: two that come at once wait for each other, and never in a circle.
PERSON_MOVED = """
    create function challenges.person_moved(person uuid, zone text, at timestamptz, tzdata text) returns void
    language plpgsql set search_path = '' as $$
    begin
        perform pg_advisory_xact_lock(hashtextextended('challenges of ' || person, 0));
        perform pg_advisory_xact_lock_shared(hashtextextended('schedule of ' || ids.challenge_id, 0))
        from (select f.challenge_id from challenges.following(person, at) f order by f.challenge_id) as ids;
        perform challenges.move(ids.participant_id, zone, at, tzdata)
        from (select f.participant_id from challenges.following(person, at) f order by f.participant_id) as ids;
    end
    $$
"""

# As before, but: nothing refers to the place by what changes here, so that nobody who makes rows of it has to wait; a
# draft has no windows yet, and goes by the zone alone; what stays as it is keeps the tzdata that it was computed with;
# and of the reminders only those of the next days are stored, which is half of the work: see `remind`.
MOVE = """
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
    $$
"""

# The reminders, where they are missing, of stored windows around `at` of people who have changed their zone: `plan`
# makes those of the windows that it stores. It may be called for anybody, any number of times.
REMIND = """
    create function challenges.remind(people uuid[], at timestamptz) returns void
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
    $$
"""


def upgrade() -> None:
    op.execute("""
        alter table challenges.challenges
            -- since when it is active without a break: what closed before, while it was paused, nobody could prove
            add column runs_since timestamptz not null default 'epoch'
    """)
    op.execute("grant update (runs_since) on challenges.challenges to chally_app")
    op.execute("""
        insert into core.limits (name, quantity, period, per, counts) values
            ('timezone_change', 20, '1 day', 'account', 'changes of the zone of an account, which move its windows'),
            ('timezone_preview', 60, '1 hour', 'account', 'previews of such a change')
    """)
    for function in (FOLLOWING, REMIND, MOVE, PERSON_MOVED):
        op.execute(function)
    op.execute(
        "revoke execute on function challenges.following, challenges.remind, challenges.person_moved from public"
    )
    op.execute("grant execute on function challenges.following, challenges.remind to chally_app, chally_system")
    op.execute("grant execute on function challenges.person_moved to chally_system")
