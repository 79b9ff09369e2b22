"""Reminders know quiet hours: when each is due is decided by one function, and what became of it is recorded."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# When a person's quiet hours are, around an instant: each date's, from the first occurrence of their begin to the
# second of their end, as windows have it. Where a clock change makes two of them meet, there is no break between.
QUIET = """
    create function notifications.quiet(zone text, quiet_from time, quiet_to time, around timestamptz)
    returns table (begins_at timestamptz, ends_at timestamptz)
    language sql stable parallel safe
    begin atomic
        select i.opening, i.closing
        from generate_series(-2, 2) as n
        cross join lateral (select (around at time zone zone)::date + n as day) as d
        cross join lateral challenges.instants(
            zone, d.day + quiet_from,
            d.day + quiet_to + case when quiet_to <= quiet_from then interval '1 day' else interval '0' end
        ) as i
        where i.opening < i.closing;
    end
"""

# When to remind, seen from `at`: at the nominal instant, or at once where that is past. In quiet hours: when they end,
# if that leaves five minutes of the window; else when they begin, if that is to come and the window is open by then.
# Null: never.
DUE = """
    create function notifications.due(
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
                from notifications.quiet(zone, quiet_from, quiet_to, greatest(nominal_at, at)) as q
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
    end
"""

# Remind of these windows. One that was reminded of, or whose reminder came due and was given up, stays as it is.
# Nested loops, whatever the caller has: a few people are looked up among all.
REMIND = """
    create function notifications.remind(windows notifications.window[], at timestamptz) returns void
    language sql set search_path = '' set enable_nestloop = on
    begin atomic
        insert into notifications.reminders as r (
            participant_id, local_date, user_id, title, timezone, opens_at, closes_at, nominal_at, due_at, skipped,
            planned_at, planned_by
        )
        select w.participant_id, w.local_date, w.user_id, w.title, w.timezone, w.opens_at, w.closes_at,
               nominal.at, due.at,
               case when w.closes_at <= remind.at then 'closed' when due.at is null then 'quiet' end, remind.at,
               u.quiet_since
        from unnest(remind.windows) as w
        join identity.users u on u.id = w.user_id and u.purged_at is null
        cross join lateral (
            select greatest(w.opens_at, w.closes_at - make_interval(mins => w.before_close_minutes)) as at
        ) as nominal
        cross join lateral (
            select notifications.due(
                nominal.at, w.opens_at, w.closes_at, u.timezone, u.quiet_from, u.quiet_to, remind.at
            ) as at
        ) as due
        on conflict on constraint reminders_pkey do update set
            title = excluded.title, timezone = excluded.timezone, opens_at = excluded.opens_at,
            closes_at = excluded.closes_at, nominal_at = excluded.nominal_at, due_at = excluded.due_at,
            skipped = excluded.skipped, planned_at = excluded.planned_at, planned_by = excluded.planned_by
        where r.sent_at is null
          and (r.cleared_at is not null or r.due_at is null or r.skipped is null and r.due_at > excluded.planned_at);
    end
"""

# After a change of quiet hours or of the account's zone at this instant: everything of this person's that has not come
# due. Where nothing changed, nothing is touched.
RESCHEDULE = """
    create function notifications.reschedule(person uuid, at timestamptz) returns void
    language sql set search_path = ''
    begin atomic
        update notifications.reminders r
        set (due_at, skipped, planned_at, planned_by) = (
            select due, case when due is null then 'quiet' end, reschedule.at, u.quiet_since
            from notifications.due(
                coalesce(r.nominal_at, r.due_at),
                r.opens_at, r.closes_at, u.timezone, u.quiet_from, u.quiet_to, reschedule.at
            ) as due
        )
        from identity.users u
        where u.id = reschedule.person and u.quiet_since = reschedule.at
          and r.user_id = reschedule.person and r.closes_at > reschedule.at
          and r.sent_at is null and r.cleared_at is null
          and (r.due_at is null or r.skipped is null and r.due_at > reschedule.at);
    end
"""

# What `silence` cleared at that instant, and what is still to come of it, seen from their return.
RESUME = """
    create or replace function notifications.resume(participant uuid, silenced_at timestamptz) returns void
    language sql set search_path = ''
    begin atomic
        update notifications.reminders r
        set cleared_at = null, (due_at, skipped, planned_at, planned_by) = (
            select due, case when due is null then 'quiet' end, p.returned_at, u.quiet_since
            from notifications.due(
                r.nominal_at, r.opens_at, r.closes_at, u.timezone, u.quiet_from, u.quiet_to, p.returned_at
            ) as due
        )
        from challenges.participants p join identity.users u on u.id = p.user_id
        where p.id = resume.participant and r.participant_id = resume.participant
          and r.cleared_at = resume.silenced_at and r.sent_at is null and r.closes_at > p.returned_at
          and (r.due_at is null or r.skipped is null)
          -- what was proved while they were away needs none
          and not exists (
              select from challenges.windows w
              where w.participant_id = r.participant_id and w.local_date = r.local_date and w.outcome is not null
          );
    end
"""

# A window is to be proved again: what cleared its reminder is taken back.
RESTORE = """
    create function notifications.restore(participant uuid, date date, at timestamptz) returns void
    language sql set search_path = ''
    begin atomic
        update notifications.reminders r
        set cleared_at = null, (due_at, skipped, planned_at, planned_by) = (
            select due, case when due is null then 'quiet' end, restore.at, u.quiet_since
            from notifications.due(
                r.nominal_at, r.opens_at, r.closes_at, u.timezone, u.quiet_from, u.quiet_to, restore.at
            ) as due
        )
        from identity.users u
        where u.id = r.user_id and r.participant_id = restore.participant and r.local_date = restore.date
          and r.cleared_at is not null and r.sent_at is null and r.closes_at > restore.at;
    end
"""

# As in 0009, but for what it asks of `remind`: of the windows that it stores, those of the past as well, so that every
# window has its record.
PLAN = """
    create or replace function challenges.plan(people uuid[], at timestamptz, tzdata text) returns void
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
    $$
"""

EXPORT_REMINDERS = """
    create or replace function notifications.export_person(person uuid) returns jsonb
    language sql stable set search_path = ''
    return jsonb_build_object(
        'reminders', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.nominal_at, x.closes_at), '[]')
            from (
                select r.participant_id, r.local_date, r.title, r.timezone, r.opens_at, r.closes_at, r.nominal_at,
                    r.planned_at, r.planned_by, r.due_at, r.sent_at, r.cleared_at, r.skipped
                from notifications.reminders r where r.user_id = person
            ) x
        )
    )
"""

# As in 0007, with the quiet hours.
EXPORT_ACCOUNT = """
    create or replace function identity.export_person(person uuid) returns jsonb
    language sql stable set search_path = ''
    return jsonb_build_object(
        'users', (
            select coalesce(jsonb_agg(to_jsonb(x)), '[]')
            from (
                select u.id, u.email, u.username, u.timezone, u.role, u.email_verified_at, u.created_at,
                    u.wants_reminders, u.quiet_from, u.quiet_to, u.quiet_since, u.deleted_at,
                    u.purged_at
                from identity.users u where u.id = person
            ) x
        ),
        'sessions', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
            from (
                select s.id, s.created_at, s.authenticated_at, s.second_factor, s.last_seen_at, s.user_agent, s.ip,
                    s.generation, s.rotated_at, s.ended_at, s.ended_reason,
                    (
                        select max(t.expires_at) from identity.refresh_tokens t where t.session_id = s.id
                    ) as expires_at
                from identity.sessions s where s.user_id = person
            ) x
        ),
        'registrations', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.created_at), '[]')
            from (
                select r.email, r.username, r.timezone, r.created_at, r.expires_at
                from identity.registrations r
                where lower(r.email) = (select lower(u.email) from identity.users u where u.id = person)
            ) x
        ),
        'mail_links', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.created_at), '[]')
            from (
                select l.purpose, l.email, l.created_at, l.expires_at
                from identity.mail_links l where l.user_id = person
            ) x
        ),
        'login_failures', (
            select coalesce(jsonb_agg(to_jsonb(x)), '[]')
            from (
                select f.failures, f.failed_at
                from identity.login_failures f, identity.users u
                where u.id = person and f.login_hash in (
                    sha256(convert_to(lower(u.email), 'UTF8')), sha256(convert_to(lower(u.username), 'UTF8'))
                )
            ) x
        ),
        'pending_sign_ins', (
            select coalesce(jsonb_agg(to_jsonb(x)), '[]')
            from (select p.expires_at from identity.pending_sign_ins p where p.user_id = person) x
        ),
        'totp', (
            select coalesce(jsonb_agg(to_jsonb(x)), '[]')
            from (select t.created_at, t.confirmed_at from identity.totp t where t.user_id = person) x
        ),
        'backup_codes', (
            select coalesce(jsonb_agg(to_jsonb(x)), '[]')
            from (select b.used_at from identity.backup_codes b where b.user_id = person) x
        ),
        'passkeys', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
            from (
                select k.id, k.name, encode(k.credential_id, 'base64') as credential_id,
                    encode(k.public_key, 'base64') as public_key, k.sign_count, k.backed_up, k.created_at,
                    k.last_used_at
                from identity.passkeys k where k.user_id = person
            ) x
        ),
        'passkey_challenges', (
            select coalesce(jsonb_agg(to_jsonb(x)), '[]')
            from (select c.expires_at from identity.passkey_challenges c where c.user_id = person) x
        ),
        'exports', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
            from (
                select e.id, e.requested_at, e.built_at, e.size, e.expires_at
                from identity.exports e where e.user_id = person
            ) x
        )
    )
"""
FORGET_ACCOUNT = """
    create or replace function identity.forget_person(person uuid) returns void
    language sql set search_path = ''
    begin atomic
        delete from identity.refresh_tokens
        where session_id in (select s.id from identity.sessions s where s.user_id = person);
        delete from identity.sessions where user_id = person;
        delete from identity.registrations
        where lower(email) = (select lower(u.email) from identity.users u where u.id = person);
        delete from identity.mail_links where user_id = person;
        delete from identity.login_failures
        where login_hash in (
            select sha256(convert_to(lower(login), 'UTF8'))
            from identity.users u, unnest(array[u.email, u.username]) as login where u.id = person
        );
        delete from identity.pending_sign_ins where user_id = person;
        delete from identity.totp where user_id = person;
        delete from identity.backup_codes where user_id = person;
        delete from identity.passkeys where user_id = person;
        delete from identity.passkey_challenges where user_id = person;
        delete from identity.exports where user_id = person;
        update identity.users set
            username = 'deleted_' || right(id::text, 12), email = id::text || '@deleted.invalid',
            password_hash = '!', timezone = 'UTC', role = 'user', email_verified_at = null, wants_reminders = false,
            quiet_from = null, quiet_to = null, quiet_since = null
        where id = person;
    end
"""


def upgrade() -> None:
    op.execute("""
        alter table identity.users
            -- on the wall clock of the person's own zone
            add column quiet_from time,
            add column quiet_to time,
            -- since when these, and the zone that they are in, are what they are
            add column quiet_since timestamptz
    """)
    op.execute("""
        alter table identity.users
            add constraint users_quiet_hours check (
                quiet_from is null and quiet_to is null or coalesce(quiet_from <> quiet_to, false)
            ) not valid
    """)
    op.execute("grant select (quiet_from, quiet_to) on identity.users to chally_app")
    op.execute("""
        create or replace view identity.contacts as
        select id, email, username, timezone, email_verified_at is not null as verified, wants_reminders,
            quiet_from, quiet_to, quiet_since
        from identity.users where deleted_at is null
    """)

    op.execute("""
        alter table notifications.reminders
            add column opens_at timestamptz,
            -- the instant that the rules name, whatever is quiet then
            add column nominal_at timestamptz,
            -- when `due_at` was decided, from the preferences of then
            add column planned_at timestamptz,
            -- which preferences it was decided by: their `quiet_since`
            add column planned_by timestamptz,
            -- why no mail was written; its due_at is null where that was clear when it was planned
            add column skipped text,
            -- those who read it before take what is due by it, and that is never null
            -- squawk-ignore ban-drop-not-null
            alter column due_at drop not null
    """)
    op.execute("""
        alter table notifications.reminders
            add constraint reminders_skipped_known check (
                skipped in ('closed', 'stopped', 'left', 'unwanted', 'quiet')
            ) not valid,
            add constraint reminders_due_or_skipped check (due_at is not null or skipped is not null) not valid
    """)
    op.execute("""
        create type notifications.window as (
            participant_id uuid, local_date date, user_id uuid, title text, timezone text, opens_at timestamptz,
            closes_at timestamptz, before_close_minutes integer
        )
    """)
    for function in (QUIET, DUE, REMIND, RESCHEDULE, RESUME, RESTORE, PLAN):
        op.execute(function)
    for function in (EXPORT_REMINDERS, EXPORT_ACCOUNT, FORGET_ACCOUNT):
        op.execute(function)
    op.execute("""
        revoke execute on function
            notifications.quiet, notifications.due, notifications.remind, notifications.reschedule,
            notifications.restore
        from public
    """)
    op.execute("""
        grant execute on function
            notifications.quiet, notifications.due, notifications.reschedule, notifications.restore
        to chally_system
    """)
