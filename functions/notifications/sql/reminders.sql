-- requires: core/actor, core/instants

-- The spans of a person's quiet hours on the dates around an instant. Of a wall time that occurs twice, a span begins
-- at the first occurrence and ends at the second, like a window. Two spans can then touch or overlap.
create or replace function notifications.quiet_spans(zone text, quiet_from time, quiet_to time, around timestamptz)
returns table (begins_at timestamptz, ends_at timestamptz)
language sql stable parallel safe
begin atomic
    select i.opening, i.closing
    from generate_series(-2, 2) as n
    cross join lateral (select (around at time zone zone)::date + n as day) as d
    cross join lateral core.instants(
        zone, d.day + quiet_from,
        d.day + quiet_to + case when quiet_to <= quiet_from then interval '1 day' else interval '0' end
    ) as i
    where i.opening < i.closing;
end;

-- When a reminder that is planned at `at` is due: at its nominal instant, or at `at` if that has passed. In quiet
-- hours, it is due when they end, if that leaves five minutes of the window; otherwise when they begin, if that is
-- still ahead and the window is open by then. Null: never. The nightly check compares it with the Python calculation
-- `notifications.rules.due_instant`, which states the five minutes again on purpose.
create or replace function notifications.due_instant(
    nominal_at timestamptz, opens_at timestamptz, closes_at timestamptz, zone text, quiet_from time, quiet_to time,
    at timestamptz
)
returns timestamptz
language sql stable parallel safe
return case
    when closes_at <= at then null
    when quiet_from is null then greatest(nominal_at, at)
    else (
        with span as materialized (
            select q.begins_at, q.ends_at
            from notifications.quiet_spans(zone, quiet_from, quiet_to, greatest(nominal_at, at)) as q
        ),
        around as (
            select
                (
                    select min(s.ends_at) from span s
                    where s.ends_at > greatest(nominal_at, at) and not exists (
                        select from span o where o.begins_at <= s.ends_at and s.ends_at < o.ends_at
                    )
                ) as ends_at,
                (
                    select max(s.begins_at) from span s
                    where s.begins_at <= greatest(nominal_at, at) and not exists (
                        select from span o where o.begins_at < s.begins_at and s.begins_at <= o.ends_at
                    )
                ) as begins_at
        )
        select case
            when not exists (
                select from span s where s.begins_at <= greatest(nominal_at, at)
                  and greatest(nominal_at, at) < s.ends_at
            ) then greatest(nominal_at, at)
            when around.ends_at <= closes_at - interval '5 minutes' then around.ends_at
            when around.begins_at >= opens_at and around.begins_at >= at then around.begins_at
        end
        from around
    )
end;

-- Plan the reminders of these windows. A reminder that was sent, or that was due and skipped, does not change. Nested
-- loops are on, although the caller turns them off, because a few people are looked up among all.
create or replace function notifications.plan_reminders(windows notifications.reminder_window[], at timestamptz)
returns void
language sql set search_path = '' set enable_nestloop = on
begin atomic
    insert into notifications.reminders as r (
        participant_id, local_date, user_id, title, timezone, opens_at, closes_at, nominal_at, due_at, skipped,
        planned_at, planned_by
    )
    select w.participant_id, w.local_date, w.user_id, w.title, w.timezone, w.opens_at, w.closes_at,
           nominal.at, due.at,
           case when w.closes_at <= plan_reminders.at then 'closed' when due.at is null then 'quiet' end,
           plan_reminders.at, u.quiet_since
    from unnest(plan_reminders.windows) as w
    join identity.users u on u.id = w.user_id and u.purged_at is null
    cross join lateral (
        select greatest(w.opens_at, w.closes_at - make_interval(mins => w.before_close_minutes)) as at
    ) as nominal
    cross join lateral (
        select notifications.due_instant(
            nominal.at, w.opens_at, w.closes_at, u.timezone, u.quiet_from, u.quiet_to, plan_reminders.at
        ) as at
    ) as due
    on conflict on constraint reminders_pkey do update set
        title = excluded.title, timezone = excluded.timezone, opens_at = excluded.opens_at,
        closes_at = excluded.closes_at, nominal_at = excluded.nominal_at, due_at = excluded.due_at,
        skipped = excluded.skipped, planned_at = excluded.planned_at, planned_by = excluded.planned_by
    where r.sent_at is null
      and (r.cleared_at is not null or r.due_at is null or r.skipped is null and r.due_at > excluded.planned_at);
end;

-- Plan a person's pending reminders again after their quiet hours or their zone changed at `at`. Does nothing if
-- neither changed then.
create or replace function notifications.replan_reminders(person uuid, at timestamptz) returns void
language sql set search_path = ''
begin atomic
    update notifications.reminders r
    set (due_at, skipped, planned_at, planned_by) = (
        select due, case when due is null then 'quiet' end, replan_reminders.at, u.quiet_since
        from notifications.due_instant(
            coalesce(r.nominal_at, r.due_at),
            r.opens_at, r.closes_at, u.timezone, u.quiet_from, u.quiet_to, replan_reminders.at
        ) as due
    )
    from identity.users u
    where u.id = replan_reminders.person and u.quiet_since = replan_reminders.at
      and r.user_id = replan_reminders.person and r.closes_at > replan_reminders.at
      and r.sent_at is null and r.cleared_at is null
      and (r.due_at is null or r.skipped is null and r.due_at > replan_reminders.at);
end;

-- Clear a participant's pending reminders.
create or replace function notifications.clear_reminders(participant uuid, at timestamptz) returns void
language sql set search_path = ''
begin atomic
    update notifications.reminders set cleared_at = at
    where participant_id = participant and sent_at is null and cleared_at is null;
end;

-- Plan the reminders that `clear_reminders` cleared at `cleared_at` again, as of the participant's return at `at`,
-- unless their window has closed, or was decided during the absence (the dates `decided`).
create or replace function notifications.resume_reminders(
    participant uuid, cleared_at timestamptz, at timestamptz, decided date[]
)
returns void
language sql set search_path = ''
begin atomic
    update notifications.reminders r
    set cleared_at = null, (due_at, skipped, planned_at, planned_by) = (
        select due, case when due is null then 'quiet' end, resume_reminders.at, u.quiet_since
        from notifications.due_instant(
            r.nominal_at, r.opens_at, r.closes_at, u.timezone, u.quiet_from, u.quiet_to, resume_reminders.at
        ) as due
    )
    from identity.users u
    where u.id = r.user_id and r.participant_id = resume_reminders.participant
      and r.cleared_at = resume_reminders.cleared_at and r.sent_at is null and r.closes_at > resume_reminders.at
      and (r.due_at is null or r.skipped is null) and r.local_date <> all (resume_reminders.decided);
end;

-- Plan the cleared reminder of a window again that needs another proof.
create or replace function notifications.restore_reminder(participant uuid, date date, at timestamptz) returns void
language sql set search_path = ''
begin atomic
    update notifications.reminders r
    set cleared_at = null, (due_at, skipped, planned_at, planned_by) = (
        select due, case when due is null then 'quiet' end, restore_reminder.at, u.quiet_since
        from notifications.due_instant(
            r.nominal_at, r.opens_at, r.closes_at, u.timezone, u.quiet_from, u.quiet_to, restore_reminder.at
        ) as due
    )
    from identity.users u
    where u.id = r.user_id and r.participant_id = restore_reminder.participant
      and r.local_date = restore_reminder.date
      and r.cleared_at is not null and r.sent_at is null and r.closes_at > restore_reminder.at;
end;

revoke all on function
    notifications.quiet_spans, notifications.due_instant, notifications.plan_reminders,
    notifications.replan_reminders, notifications.clear_reminders, notifications.resume_reminders,
    notifications.restore_reminder
from public, chally_app, chally_system;
grant execute on function
    notifications.quiet_spans, notifications.due_instant, notifications.replan_reminders, notifications.restore_reminder
to chally_system;

create policy reminders_owner on notifications.reminders to chally_owner using (true);
create policy reminders_system on notifications.reminders to chally_system using (true);

drop policy if exists reminders_own on notifications.reminders;

revoke all on notifications.reminders from chally_app, chally_system;
grant select, update, delete on notifications.reminders to chally_system;
