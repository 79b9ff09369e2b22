-- The whole schema, as a migrated database has it. Written by `make schema` for readers: edit the migrations (tables)
-- and the sql/ files (functions, views, triggers, policies, grants), not this file.

CREATE SCHEMA challenges;

CREATE SCHEMA core;

CREATE SCHEMA identity;

CREATE SCHEMA notifications;

CREATE SCHEMA privacy;

CREATE SCHEMA proofs;

CREATE TYPE notifications.reminder_window AS (
	participant_id uuid,
	local_date date,
	user_id uuid,
	title text,
	timezone text,
	opens_at timestamp with time zone,
	closes_at timestamp with time zone,
	before_close_minutes integer
);

CREATE FUNCTION challenges.add_standing() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
    insert into challenges.standings (participant_id, challenge_id) values (new.id, new.challenge_id);
    return null;
end
$$;

CREATE FUNCTION challenges.change_account_zone(person uuid, zone text, at timestamp with time zone, tzdata text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.change_own_zone(participant uuid, zone text, at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.change_participant_zone(participant uuid, zone text, at timestamp with time zone, tzdata text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

CREATE TABLE challenges.challenges (
    id uuid DEFAULT uuidv7() NOT NULL,
    owner_id uuid NOT NULL,
    title text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    status text DEFAULT 'draft'::text NOT NULL,
    visibility text DEFAULT 'code'::text NOT NULL,
    invite_code text NOT NULL,
    timezone text NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    max_participants integer DEFAULT 100 NOT NULL,
    participant_count integer DEFAULT 0 NOT NULL,
    late_join boolean DEFAULT false NOT NULL,
    roster_visibility text DEFAULT 'participants'::text NOT NULL,
    rules jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    invite_code_number integer DEFAULT 1 NOT NULL,
    runs_since timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    search tsvector,
    CONSTRAINT challenges_description_length CHECK ((length(description) <= 2000)),
    CONSTRAINT challenges_full CHECK (((participant_count >= 0) AND (participant_count <= max_participants))),
    CONSTRAINT challenges_max_participants_range CHECK (((max_participants >= 1) AND (max_participants <= 10000))),
    CONSTRAINT challenges_period CHECK ((starts_at < ends_at)),
    CONSTRAINT challenges_roster_visibility_known CHECK ((roster_visibility = ANY (ARRAY['participants'::text, 'owner'::text, 'everyone'::text]))),
    CONSTRAINT challenges_status_known CHECK ((status = ANY (ARRAY['draft'::text, 'active'::text, 'paused'::text, 'canceled'::text, 'archived'::text, 'deleted'::text]))),
    CONSTRAINT challenges_title_length CHECK (((length(title) >= 1) AND (length(title) <= 120))),
    CONSTRAINT challenges_visibility_known CHECK ((visibility = ANY (ARRAY['public'::text, 'private'::text, 'code'::text])))
);

ALTER TABLE ONLY challenges.challenges FORCE ROW LEVEL SECURITY;

CREATE FUNCTION challenges.check_joinable(challenge challenges.challenges, at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.check_owned_quota() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
    perform pg_advisory_xact_lock(hashtextextended('challenges of ' || core.actor(), 0));
    if (
        select count(*) from challenges.challenges c
        where c.owner_id = core.actor() and c.status not in ('archived', 'deleted')
    ) >= 50 then
        raise exception 'the actor owns too many challenges'
        using errcode = 'check_violation', constraint = 'challenges_quota_owned';
    end if;
    return true;
end
$$;

CREATE FUNCTION challenges.check_rules(rules jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $_$
begin
    if (
        rules - array['version', 'schedule', 'proof', 'anti_cheat', 'scoring', 'reminders'] = '{}'
        and (rules -> 'schedule') - array['days', 'opens', 'closes', 'scope'] = '{}'
        and rules #> '{schedule,days}' <@ '["mon", "tue", "wed", "thu", "fri", "sat", "sun"]'
        and jsonb_array_length(rules #> '{schedule,days}') between 1 and 7
        and rules #>> '{schedule,opens}' ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'
        and rules #>> '{schedule,closes}' ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'
        and rules #>> '{schedule,scope}' in ('participant_local', 'challenge_tz')
        and coalesce(
            (rules -> 'proof') - array['kind', 'max_per_window', 'max_bytes', 'types', 'min_length', 'unit', 'target']
                = '{}', true)
        and coalesce(rules #> '{proof,kind}' <@ '["photo", "text", "number"]', true)
        and coalesce(
            rules #> '{proof,types}' <@ '["image/jpeg", "image/png", "image/webp", "image/heic", "image/heif"]'
            and jsonb_array_length(rules #> '{proof,types}') > 0, true)
        and coalesce(jsonb_typeof(rules #> '{proof,unit}') in ('string', 'null'), true)
        and coalesce(
            (rules -> 'anti_cheat') - array['overlay', 'exif_required', 'phash_check', 'strip_exif'] = '{}', true)
        and coalesce((rules -> 'scoring') - array['points', 'streak_bonus', 'grace_days'] = '{}', true)
        and coalesce((rules -> 'reminders') - array['before_close_minutes'] = '{}', true)
        and not exists (
            select from jsonb_each(rules -> 'anti_cheat') as flag where jsonb_typeof(flag.value) <> 'boolean'
        )
        and not exists (
            select from (
                values
                ('{version}'::text[], 1, 1), ('{proof,max_per_window}', 1, 10), ('{proof,max_bytes}', 1024, 10485760),
                ('{proof,min_length}', 1, 2000), ('{scoring,points}', 0, 1000), ('{scoring,streak_bonus}', 0, 100),
                ('{scoring,grace_days}', 0, 30), ('{reminders,before_close_minutes}', 1, 1440)
            ) as whole (place, least, most)
            cross join lateral (select rules #> whole.place as value) as sent
            where sent.value is not null
              and not (sent.value = 'null' and whole.place = '{reminders,before_close_minutes}')
              and (jsonb_typeof(sent.value) <> 'number' or sent.value::text !~ '^[0-9]{1,9}$'
                   or sent.value::text::numeric not between whole.least and whole.most)
        )
        and coalesce(jsonb_typeof(rules #> '{proof,target}') in ('number', 'null'), true)
        and coalesce(abs((rules #>> '{proof,target}')::numeric) < 10 ^ 12, true)
    ) is true then
        return true;
    end if;
    raise exception 'the rules cannot be read'
    using errcode = 'check_violation', constraint = 'challenges_rules_readable';
end
$_$;

CREATE FUNCTION challenges.compute_windows(people uuid[], first date, last date, at timestamp with time zone, back integer, ahead integer, from_start boolean) RETURNS TABLE(participant_id uuid, local_date date, opens_at timestamp with time zone, closes_at timestamp with time zone, timezone text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_nestloop TO 'off'
    AS $$
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

CREATE FUNCTION challenges.count_participants_now(challenge uuid) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
    set constraints challenges.participants_counted immediate;
    return (select c.participant_count from challenges.challenges c where c.id = challenge);
end
$$;

CREATE FUNCTION challenges.discover(q text, state text, at timestamp with time zone, before uuid, skip integer, quantity integer) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 25
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    wanted constant tsquery := challenges.search_query(q);
    rare constant integer := 10000;
begin
    if q is not null and rare > (
        select count(*) from (
            select from challenges.challenges c
            where c.visibility = 'public' and c.status not in ('draft', 'deleted')
              and challenges.words(c.title, c.description) @@ wanted
            limit rare
        ) as found
    ) then
        return query
        select found.id from (
            select c.id from challenges.challenges c
            where c.visibility = 'public' and c.status not in ('draft', 'deleted')
              and challenges.words(c.title, c.description) @@ wanted
              and challenges.matches_state(state, at, c.status, c.starts_at, c.ends_at)
              and (before is null or c.id < before)
            offset 0
        ) as found
        order by found.id desc offset skip limit quantity;
        return;
    end if;
    return query
    select c.id from challenges.challenges c
    where c.visibility = 'public' and c.status not in ('draft', 'deleted')
      and (q is null or coalesce(challenges.words(c.title, c.description) @@ wanted, false))
      and challenges.matches_state(state, at, c.status, c.starts_at, c.ends_at)
      and (before is null or c.id < before)
    order by c.id desc offset skip limit quantity;
end
$$;

CREATE FUNCTION challenges.effective_windows(people uuid[], first date, last date, at timestamp with time zone, back integer, ahead integer, from_start boolean) RETURNS TABLE(participant_id uuid, local_date date, opens_at timestamp with time zone, closes_at timestamp with time zone, timezone text, tzdata text, outcome text, stored boolean)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.end_participation(challenge uuid, participant uuid, barred boolean, at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.find_public(wanted tsquery, state text, at timestamp with time zone, before uuid, skip integer, quantity integer) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 25
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
    rare constant integer := 10000;
begin
    if wanted is not null and rare > (
        select count(*) from (
            select from challenges.challenges c
            where c.visibility = 'public' and c.status not in ('draft', 'deleted')
              and c.search @@ wanted
            limit rare
        ) as found
    ) then
        return query
        select found.id from (
            select c.id from challenges.challenges c
            where c.visibility = 'public' and c.status not in ('draft', 'deleted')
              and c.search @@ wanted
              and challenges.matches_state(state, at, c.status, c.starts_at, c.ends_at)
              and (before is null or c.id < before)
            offset 0
        ) as found
        order by found.id desc offset skip limit quantity;
        return;
    end if;
    return query
    select c.id from challenges.challenges c
    where c.visibility = 'public' and c.status not in ('draft', 'deleted')
      and (wanted is null or coalesce(c.search @@ wanted, false))
      and challenges.matches_state(state, at, c.status, c.starts_at, c.ends_at)
      and (before is null or c.id < before)
    order by c.id desc offset skip limit quantity;
end
$$;

CREATE FUNCTION challenges."join"(challenge uuid, code text, zone text, at timestamp with time zone, max_joined integer) RETURNS TABLE(challenge_id uuid, participant_id uuid, timezone text, is_new boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.leave(challenge uuid, at timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.matches_state(state text, at timestamp with time zone, status text, starts_at timestamp with time zone, ends_at timestamp with time zone) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE state WHEN 'upcoming'::text THEN ((status = 'active'::text) AND (starts_at > at)) WHEN 'started'::text THEN ((status = 'active'::text) AND (starts_at <= at) AND (ends_at > at)) WHEN 'ended'::text THEN ((status = 'active'::text) AND (ends_at <= at)) ELSE ((state IS NULL) OR (status = state)) END;

CREATE FUNCTION challenges.schedule(rules jsonb, OUT opens time without time zone, OUT closes time without time zone, OUT length interval, OUT days jsonb, OUT local boolean, OUT remind integer) RETURNS record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ROW(((rules #>> '{schedule,opens}'::text[]))::time without time zone, ((rules #>> '{schedule,closes}'::text[]))::time without time zone, ((((rules #>> '{schedule,closes}'::text[]))::time without time zone - ((rules #>> '{schedule,opens}'::text[]))::time without time zone) + CASE WHEN (((rules #>> '{schedule,closes}'::text[]))::time without time zone <= ((rules #>> '{schedule,opens}'::text[]))::time without time zone) THEN '1 day'::interval ELSE '00:00:00'::interval END), (rules #> '{schedule,days}'::text[]), ((rules #>> '{schedule,scope}'::text[]) <> 'challenge_tz'::text), ((rules #>> '{reminders,before_close_minutes}'::text[]))::integer);

CREATE TABLE challenges.participants (
    id uuid DEFAULT uuidv7() NOT NULL,
    challenge_id uuid NOT NULL,
    user_id uuid NOT NULL,
    timezone text NOT NULL,
    joined_at timestamp with time zone NOT NULL,
    timezone_since timestamp with time zone NOT NULL,
    left_at timestamp with time zone,
    returned_at timestamp with time zone,
    barred_code integer
);

ALTER TABLE ONLY challenges.participants FORCE ROW LEVEL SECURITY;

CREATE TABLE identity.users (
    id uuid DEFAULT uuidv7() NOT NULL,
    email text NOT NULL,
    username text NOT NULL,
    password_hash text NOT NULL,
    timezone text NOT NULL,
    role text DEFAULT 'user'::text NOT NULL,
    email_verified_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    wants_reminders boolean DEFAULT true NOT NULL,
    deleted_at timestamp with time zone,
    purged_at timestamp with time zone,
    quiet_from time without time zone,
    quiet_to time without time zone,
    quiet_since timestamp with time zone,
    CONSTRAINT users_email_length CHECK (((length(email) >= 3) AND (length(email) <= 254))),
    CONSTRAINT users_quiet_hours CHECK ((((quiet_from IS NULL) AND (quiet_to IS NULL)) OR COALESCE((quiet_from <> quiet_to), false))),
    CONSTRAINT users_role_known CHECK ((role = ANY (ARRAY['user'::text, 'moderator'::text, 'admin'::text]))),
    CONSTRAINT users_timezone_length CHECK ((length(timezone) <= 64)),
    CONSTRAINT users_username_form CHECK ((username ~ '^[A-Za-z0-9_]{3,30}$'::text))
);

ALTER TABLE ONLY identity.users FORCE ROW LEVEL SECURITY;

CREATE FUNCTION challenges.participations_in_account_zone(person uuid, at timestamp with time zone) RETURNS TABLE(participant_id uuid, challenge_id uuid, title text, status text, local boolean)
    LANGUAGE sql STABLE
    SET search_path TO ''
    BEGIN ATOMIC
 SELECT p.id,
     c.id,
     c.title,
     c.status,
     schedule.local
    FROM (((identity.users u
      JOIN challenges.participants p ON (((p.user_id = u.id) AND (p.timezone = u.timezone))))
      JOIN challenges.challenges c ON ((c.id = p.challenge_id)))
      CROSS JOIN LATERAL challenges.schedule(c.rules) schedule(opens, closes, length, days, local, remind))
   WHERE ((u.id = participations_in_account_zone.person) AND (p.left_at IS NULL) AND (c.status = ANY (ARRAY['draft'::text, 'active'::text, 'paused'::text])) AND (c.ends_at > participations_in_account_zone.at));
END;

CREATE FUNCTION challenges.plan_reminders(people uuid[], at timestamp with time zone) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.precompute_own_windows(participant uuid, at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.precompute_windows(people uuid[], at timestamp with time zone, tzdata text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    SET enable_nestloop TO 'off'
    AS $$
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

CREATE FUNCTION challenges.ranking(challenge uuid, after_points integer, after_participant uuid, skip integer, quantity integer) RETURNS TABLE(rank bigint, participant_id uuid, username text, points integer, current_streak integer, best_streak integer, accepted integer, missed integer)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 25
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
#variable_conflict use_column
begin
    if not challenges.shows_roster(ranking.challenge) then
        return;
    end if;
    return query
    with page as materialized (
        select s.* from challenges.standings s
        where s.challenge_id = ranking.challenge and s.present and (
            ranking.after_points is null
            or (-s.points, s.participant_id) > (-ranking.after_points, ranking.after_participant)
        )
        order by -s.points, s.participant_id offset ranking.skip limit ranking.quantity
    ),
    first as materialized (select points, participant_id from page order by -points, participant_id limit 1),
    before as materialized (
        select count(*) as all, count(*) filter (where s.points > first.points) as better
        from first join challenges.standings s
            on s.challenge_id = ranking.challenge and s.present
            and (-s.points, s.participant_id) < (-first.points, first.participant_id)
    )
    select case when page.points = first.points then before.better + 1
               else before.all + rank() over (order by -page.points) end,
           page.participant_id, u.username, page.points, page.current_streak, page.best_streak, page.accepted,
           page.missed
    from page cross join first cross join before
    join challenges.participants p on p.id = page.participant_id
    join identity.profiles u on u.id = p.user_id
    order by -page.points, page.participant_id;
end
$$;

CREATE FUNCTION challenges.recompute_windows(challenge uuid, at timestamp with time zone, tzdata text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.remove(challenge uuid, participant uuid, at timestamp with time zone) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.reschedule(challenge uuid, zone text, starts_at timestamp with time zone, ends_at timestamp with time zone, rules jsonb, at timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
    c challenges.challenges;
begin
    perform core.check_present(reschedule.at), challenges.check_rules(reschedule.rules);
    if reschedule.starts_at <= '2000-01-01' or reschedule.ends_at >= '2200-01-01'
        or reschedule.ends_at - reschedule.starts_at > interval '1098 days'
    then
        raise exception 'the challenge lasts too long'
        using errcode = 'check_violation', constraint = 'challenges_period';
    end if;
    select x.* into c from challenges.challenges x
    where x.id = reschedule.challenge and x.owner_id = core.actor() and x.status in ('draft', 'active', 'paused')
    for no key update;
    if c.id is null then
        return false;
    end if;
    if c.status <> 'draft' and least(
        c.starts_at, case when reschedule.starts_at <> c.starts_at then reschedule.starts_at end
    ) <= reschedule.at then
        raise exception 'the challenge has started'
        using errcode = 'check_violation', constraint = 'challenges_schedule_frozen';
    end if;
    update challenges.challenges x
    set timezone = reschedule.zone, starts_at = reschedule.starts_at, ends_at = reschedule.ends_at,
        rules = reschedule.rules
    where x.id = c.id;
    if c.status <> 'draft' then
        perform challenges.recompute_windows(c.id, reschedule.at, core.tzdata_release());
    end if;
    return true;
end
$$;

CREATE FUNCTION challenges.tokens(content text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO ''
    RETURN (SELECT COALESCE(array_agg(DISTINCT "left"(word.word, 60)), '{}'::text[]) AS "coalesce" FROM regexp_split_to_table(lower((tokens.content COLLATE pg_c_utf8)), ('[[:space:][:punct:][:cntrl:]]+'::text COLLATE pg_c_utf8)) word(word) WHERE (word.word <> ''::text));

CREATE FUNCTION challenges.search_query(q text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO ''
    RETURN (SELECT (COALESCE(string_agg(((''''::text || word.word) || ''':*'::text), ' & '::text), ''::text))::tsquery AS "coalesce" FROM unnest(challenges.tokens(search_query.q)) word(word));

CREATE FUNCTION challenges.set_invite_code(challenge uuid, code text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
    update challenges.challenges c
    set invite_code = set_invite_code.code, invite_code_number = c.invite_code_number + 1
    where c.id = set_invite_code.challenge and c.owner_id = core.actor() and c.status <> 'deleted';
    return found;
end
$$;

CREATE FUNCTION challenges.set_status(challenge uuid, status text, at timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
    perform core.check_present(set_status.at);
    update challenges.challenges c
    set status = set_status.status,
        runs_since = case when set_status.status = 'active' then set_status.at else c.runs_since end
    where c.id = set_status.challenge and c.owner_id = core.actor() and set_status.status <> 'draft'
      and (c.status in ('draft', 'active', 'paused')
           or c.status in ('canceled', 'archived') and set_status.status = 'deleted');
    return found;
end
$$;

CREATE FUNCTION core.actor() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NULLIF(current_setting('chally.actor'::text, true), ''::text))::uuid;

CREATE FUNCTION challenges.takes_part(challenge uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    RETURN (EXISTS (SELECT FROM challenges.participants p WHERE ((p.challenge_id = takes_part.challenge) AND (p.user_id = core.actor()) AND (p.left_at IS NULL))));

CREATE FUNCTION challenges.shows_roster(challenge uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    RETURN (EXISTS (SELECT FROM challenges.challenges c WHERE ((c.id = shows_roster.challenge) AND (c.status <> 'deleted'::text) AND ((c.owner_id = core.actor()) OR ((c.roster_visibility <> 'owner'::text) AND challenges.takes_part(c.id)) OR ((c.roster_visibility = 'everyone'::text) AND (c.visibility = 'public'::text) AND (c.status <> 'draft'::text))))));

CREATE FUNCTION challenges.update_participant_count() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.update_presence() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
    update challenges.standings s set present = new.left_at is null where s.participant_id = new.id;
    return null;
end
$$;

CREATE FUNCTION challenges.windows_after_zone_change(participant uuid, zone text, at timestamp with time zone) RETURNS TABLE(local_date date, opens_at timestamp with time zone, closes_at timestamp with time zone, timezone text, old_opens_at timestamp with time zone, old_closes_at timestamp with time zone, old_timezone text, stays boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
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

CREATE FUNCTION challenges.words(title text, description text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE COST 2000 PARALLEL SAFE
    SET search_path TO ''
    RETURN array_to_tsvector(challenges.tokens(((title || ' '::text) || description)));

CREATE FUNCTION core.check_present(at timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO ''
    AS $$
begin
    if at between now() - core.clock_tolerance() and now() + core.clock_tolerance() then
        return true;
    end if;
    raise exception 'the request is of %, and the database''s clock shows %: set the clocks right', at, now()
    using errcode = 'invalid_parameter_value';
end
$$;

CREATE FUNCTION core.check_timezone() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
begin
    perform now() at time zone new.timezone;
    if new.timezone !~ '^[A-Z][A-Za-z]*(/[A-Z][A-Za-z0-9_+-]*)+$' and new.timezone not in (
            'CET', 'CST6CDT', 'Cuba', 'EET', 'EST', 'EST5EDT', 'Egypt', 'Eire', 'GB', 'GB-Eire',
            'GMT', 'GMT+0', 'GMT-0', 'GMT0', 'Greenwich', 'HST', 'Hongkong', 'Iceland', 'Iran',
            'Israel', 'Jamaica', 'Japan', 'Kwajalein', 'Libya', 'MET', 'MST', 'MST7MDT', 'NZ',
            'NZ-CHAT', 'Navajo', 'PRC', 'PST8PDT', 'Poland', 'Portugal', 'ROC', 'ROK', 'Singapore',
            'Turkey', 'UCT', 'UTC', 'Universal', 'W-SU', 'WET', 'Zulu'
        )
    then
        raise exception 'time zone "%" not recognized', new.timezone using errcode = 'invalid_parameter_value';
    end if;
    return new;
end
$_$;

CREATE FUNCTION core.claim_key(key text) RETURNS TABLE(claimed boolean, fingerprint bytea, status integer, headers jsonb, body bytea)
    LANGUAGE plpgsql ROWS 1
    SET search_path TO ''
    AS $$
begin
    claimed := pg_try_advisory_xact_lock(hashtextextended(core.actor() || ' ' || claim_key.key, 0));
    if claimed then
        select k.fingerprint, k.status, k.headers, k.body into fingerprint, status, headers, body
        from core.idempotency_keys k
        where k.user_id = core.actor() and k.key = claim_key.key and k.created_at > now() - interval '24 hours';
    end if;
    return next;
end
$$;

CREATE FUNCTION core.clock_tolerance() RETURNS interval
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN '00:05:00'::interval;

CREATE FUNCTION core.identify(actor uuid, session uuid, reason text, traceparent text, read_only boolean) RETURNS TABLE(role text, authenticated_at timestamp with time zone, second_factor boolean)
    LANGUAGE plpgsql ROWS 1
    SET search_path TO ''
    AS $$
begin
    perform set_config('chally.actor', coalesce(actor::text, ''), true),
            set_config('chally.reason', reason, true),
            set_config('chally.traceparent', traceparent, true),
            set_config('transaction_read_only', case when read_only then 'on' else 'off' end, true);
    if actor is null then
        return;
    end if;
    select s.role, s.authenticated_at, s.second_factor into role, authenticated_at, second_factor
    from identity.live_session(session, actor) s;
    if not found then
        raise exception 'the session is over' using errcode = 'ZC401';
    end if;
    -- read by policies, through core.moderates()
    perform set_config(
        'chally.moderates', case when role in ('moderator', 'admin') and second_factor then 'on' else '' end, true);
    return next;
end
$$;

CREATE FUNCTION core.instants(zone text, opens_wall timestamp without time zone, closes_wall timestamp without time zone, OUT opening timestamp with time zone, OUT closing timestamp with time zone) RETURNS record
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ROW(CASE WHEN ((((opens_wall - ((((opens_wall AT TIME ZONE zone) - '24:00:00'::interval) AT TIME ZONE zone) - (((opens_wall AT TIME ZONE zone) - '24:00:00'::interval) AT TIME ZONE 'UTC'::text))) AT TIME ZONE 'UTC'::text) AT TIME ZONE zone) = opens_wall) THEN ((opens_wall - ((((opens_wall AT TIME ZONE zone) - '24:00:00'::interval) AT TIME ZONE zone) - (((opens_wall AT TIME ZONE zone) - '24:00:00'::interval) AT TIME ZONE 'UTC'::text))) AT TIME ZONE 'UTC'::text) ELSE (opens_wall AT TIME ZONE zone) END, (closes_wall AT TIME ZONE zone));

CREATE FUNCTION core.moderates() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (COALESCE(current_setting('chally.moderates'::text, true), ''::text) = 'on'::text);

CREATE FUNCTION core.take(names text[], subjects bytea[], lifted text[], at timestamp with time zone) RETURNS TABLE(name text, retry_after interval)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    AS $$
    with requested as (
        select l.name, a.subject, l.period / l.quantity as step, l.period - l.period / l.quantity as slack
        from unnest(take.names, take.subjects) as a (name, subject)
        join core.limits l on l.name = a.name and l.per <> all (take.lifted)
        where core.check_present(take.at)
    ), found as (
        select r.name, r.full_at, requested.slack
        from core.rate_limits r join requested on requested.name = r.name and requested.subject = r.subject
        order by r.name, r.subject for update of r  -- always in the same order, so that two requests cannot deadlock
    ), refused as (
        select found.name, found.full_at - take.at - found.slack as retry_after
        from found where found.full_at > take.at + found.slack
    ), taken as (
        insert into core.rate_limits as r (name, subject, full_at)
        select requested.name, requested.subject, take.at + requested.step from requested
        where not exists (select from refused)
        order by requested.name, requested.subject
        on conflict on constraint rate_limits_pkey do update
        set full_at = case
            when r.full_at <= take.at + (
                select requested.slack from requested
                where requested.name = r.name and requested.subject = r.subject
            )
            then greatest(r.full_at, take.at) + (excluded.full_at - take.at)
            else r.full_at
        end
        returning new.name, old.full_at as was, new.full_at as full_at
    )
    select refused.name, refused.retry_after from refused
    union all
    select taken.name, taken.was - take.at - requested.slack
    from taken join requested on requested.name = taken.name
    where taken.was = taken.full_at
$$;

CREATE FUNCTION core.tzdata_release() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '2026f'::text;

CREATE FUNCTION identity.live_session(session_id uuid, user_id uuid) RETURNS TABLE(role text, authenticated_at timestamp with time zone, second_factor boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
    select u.role, s.authenticated_at, s.second_factor
    from identity.sessions s join identity.users u on u.id = s.user_id
    where s.id = live_session.session_id and u.id = live_session.user_id
      and s.ended_at is null and u.deleted_at is null
$$;

CREATE TABLE notifications.reminders (
    participant_id uuid NOT NULL,
    local_date date NOT NULL,
    user_id uuid NOT NULL,
    title text NOT NULL,
    timezone text NOT NULL,
    due_at timestamp with time zone,
    closes_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    cleared_at timestamp with time zone,
    opens_at timestamp with time zone,
    nominal_at timestamp with time zone,
    planned_at timestamp with time zone,
    planned_by timestamp with time zone,
    skipped text,
    CONSTRAINT reminders_due_or_skipped CHECK (((due_at IS NOT NULL) OR (skipped IS NOT NULL))),
    CONSTRAINT reminders_skipped_known CHECK ((skipped = ANY (ARRAY['closed'::text, 'stopped'::text, 'left'::text, 'unwanted'::text, 'quiet'::text])))
);

ALTER TABLE ONLY notifications.reminders FORCE ROW LEVEL SECURITY;

CREATE FUNCTION notifications.clear_reminders(participant uuid, at timestamp with time zone) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    BEGIN ATOMIC
 UPDATE notifications.reminders SET cleared_at = clear_reminders.at
   WHERE ((reminders.participant_id = clear_reminders.participant) AND (reminders.sent_at IS NULL) AND (reminders.cleared_at IS NULL));
END;

CREATE FUNCTION notifications.quiet_spans(zone text, quiet_from time without time zone, quiet_to time without time zone, around timestamp with time zone) RETURNS TABLE(begins_at timestamp with time zone, ends_at timestamp with time zone)
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT i.opening,
     i.closing
    FROM ((generate_series('-2'::integer, 2) n(n)
      CROSS JOIN LATERAL ( SELECT (((quiet_spans.around AT TIME ZONE quiet_spans.zone))::date + n.n) AS day) d)
      CROSS JOIN LATERAL core.instants(quiet_spans.zone, (d.day + quiet_spans.quiet_from), ((d.day + quiet_spans.quiet_to) +
         CASE
             WHEN (quiet_spans.quiet_to <= quiet_spans.quiet_from) THEN '1 day'::interval
             ELSE '00:00:00'::interval
         END)) i(opening, closing))
   WHERE (i.opening < i.closing);
END;

CREATE FUNCTION notifications.due_instant(nominal_at timestamp with time zone, opens_at timestamp with time zone, closes_at timestamp with time zone, zone text, quiet_from time without time zone, quiet_to time without time zone, at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN (closes_at <= at) THEN NULL::timestamp with time zone WHEN (quiet_from IS NULL) THEN GREATEST(nominal_at, at) ELSE (WITH span AS MATERIALIZED (SELECT q.begins_at, q.ends_at FROM notifications.quiet_spans(due_instant.zone, due_instant.quiet_from, due_instant.quiet_to, GREATEST(due_instant.nominal_at, due_instant.at)) q(begins_at, ends_at)), around AS (SELECT (SELECT min(s.ends_at) AS min FROM span s WHERE ((s.ends_at > GREATEST(due_instant.nominal_at, due_instant.at)) AND (NOT (EXISTS (SELECT FROM span o WHERE ((o.begins_at <= s.ends_at) AND (s.ends_at < o.ends_at))))))) AS ends_at, (SELECT max(s.begins_at) AS max FROM span s WHERE ((s.begins_at <= GREATEST(due_instant.nominal_at, due_instant.at)) AND (NOT (EXISTS (SELECT FROM span o WHERE ((o.begins_at < s.begins_at) AND (s.begins_at <= o.ends_at))))))) AS begins_at) SELECT CASE WHEN (NOT (EXISTS (SELECT FROM span s WHERE ((s.begins_at <= GREATEST(due_instant.nominal_at, due_instant.at)) AND (GREATEST(due_instant.nominal_at, due_instant.at) < s.ends_at))))) THEN GREATEST(due_instant.nominal_at, due_instant.at) WHEN (around.ends_at <= (due_instant.closes_at - '00:05:00'::interval)) THEN around.ends_at WHEN ((around.begins_at >= due_instant.opens_at) AND (around.begins_at >= due_instant.at)) THEN around.begins_at ELSE NULL::timestamp with time zone END AS "case" FROM around) END;

CREATE FUNCTION notifications.replan_reminders(person uuid, at timestamp with time zone) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    BEGIN ATOMIC
 UPDATE notifications.reminders r SET (due_at, skipped, planned_at, planned_by) = ( SELECT due.due,
                 CASE
                     WHEN (due.due IS NULL) THEN 'quiet'::text
                     ELSE NULL::text
                 END AS "case",
             replan_reminders.at AS at,
             u.quiet_since
            FROM notifications.due_instant(COALESCE(r.nominal_at, r.due_at), r.opens_at, r.closes_at, u.timezone, u.quiet_from, u.quiet_to, replan_reminders.at) due(due))
    FROM identity.users u
   WHERE ((u.id = replan_reminders.person) AND (u.quiet_since = replan_reminders.at) AND (r.user_id = replan_reminders.person) AND (r.closes_at > replan_reminders.at) AND (r.sent_at IS NULL) AND (r.cleared_at IS NULL) AND ((r.due_at IS NULL) OR ((r.skipped IS NULL) AND (r.due_at > replan_reminders.at))));
END;

CREATE FUNCTION notifications.restore_reminder(participant uuid, date date, at timestamp with time zone) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    BEGIN ATOMIC
 UPDATE notifications.reminders r SET cleared_at = NULL::timestamp with time zone, (due_at, skipped, planned_at, planned_by) = ( SELECT due.due,
                 CASE
                     WHEN (due.due IS NULL) THEN 'quiet'::text
                     ELSE NULL::text
                 END AS "case",
             restore_reminder.at AS at,
             u.quiet_since
            FROM notifications.due_instant(r.nominal_at, r.opens_at, r.closes_at, u.timezone, u.quiet_from, u.quiet_to, restore_reminder.at) due(due))
    FROM identity.users u
   WHERE ((u.id = r.user_id) AND (r.participant_id = restore_reminder.participant) AND (r.local_date = restore_reminder.date) AND (r.cleared_at IS NOT NULL) AND (r.sent_at IS NULL) AND (r.closes_at > restore_reminder.at));
END;

CREATE FUNCTION notifications.resume_reminders(participant uuid, cleared_at timestamp with time zone, at timestamp with time zone, decided date[]) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    BEGIN ATOMIC
 UPDATE notifications.reminders r SET cleared_at = NULL::timestamp with time zone, (due_at, skipped, planned_at, planned_by) = ( SELECT due.due,
                 CASE
                     WHEN (due.due IS NULL) THEN 'quiet'::text
                     ELSE NULL::text
                 END AS "case",
             resume_reminders.at AS at,
             u.quiet_since
            FROM notifications.due_instant(r.nominal_at, r.opens_at, r.closes_at, u.timezone, u.quiet_from, u.quiet_to, resume_reminders.at) due(due))
    FROM identity.users u
   WHERE ((u.id = r.user_id) AND (r.participant_id = resume_reminders.participant) AND (r.cleared_at = resume_reminders.cleared_at) AND (r.sent_at IS NULL) AND (r.closes_at > resume_reminders.at) AND ((r.due_at IS NULL) OR (r.skipped IS NULL)) AND (r.local_date <> ALL (resume_reminders.decided)));
END;

CREATE FUNCTION proofs.find_similar(scope uuid, variants text[], distance integer) RETURNS TABLE(proof_id uuid, bits integer)
    LANGUAGE plpgsql STABLE ROWS 10
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_memoize TO 'off'
    SET jit TO 'off'
    AS $$
begin
    if distance > 31 then
        raise exception 'the band indexes cover distances up to 31 bits, not %', distance;
    end if;
    if exists (select from proofs.fingerprints f where f.user_id = scope) then
        return query
        select f.proof_id, nearest.bits from proofs.fingerprints f
        cross join lateral (
            select min(bit_count(f.pdq # variant))::integer as bits from unnest(variants::bit(256)[]) as variant
        ) as nearest
        where f.user_id = scope and nearest.bits <= distance;
    else
        return query
        select found.proof_id, min(found.bits)::integer
        from unnest(variants::bit(256)[]) as variant
        cross join lateral (
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 1, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 1, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 17, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 17, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 33, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 33, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 49, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 49, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 65, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 65, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 81, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 81, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 97, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 97, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 113, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 113, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 129, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 129, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 145, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 145, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 161, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 161, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 177, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 177, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 193, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 193, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 209, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 209, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 225, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 225, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
            union all
            select f.proof_id, bit_count(f.pdq # variant) as bits from proofs.fingerprints f
            where (uuid_hash_extended(f.challenge_id, 0) << 16 | substring(f.pdq, 241, 16)::integer)
                  = any (proofs.within_one_bit((uuid_hash_extended(scope, 0) << 16 | substring(variant, 241, 16)::integer)))
              and f.challenge_id is not distinct from scope
              and bit_count(f.pdq # variant) <= distance
        ) as found
        group by found.proof_id;
    end if;
end
$$;

CREATE FUNCTION proofs.is_visible(sender uuid, challenge uuid) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ((sender = core.actor()) OR core.moderates() OR (challenges.takes_part(challenge) AND challenges.shows_roster(challenge)));

CREATE FUNCTION proofs.picture_prefix(object_key text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (('pictures/'::text || SUBSTRING(object_key FROM (length('uploads/'::text) + 1))) || '/'::text);

CREATE FUNCTION proofs.shows_details(sender uuid, challenge uuid) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ((sender = core.actor()) OR core.moderates() OR (EXISTS (SELECT FROM challenges.challenges c WHERE ((c.id = shows_details.challenge) AND (c.owner_id = core.actor())))));

CREATE FUNCTION proofs.within_one_bit(key bigint) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO ''
    RETURN ARRAY[key, (key # (1)::bigint), (key # (2)::bigint), (key # (4)::bigint), (key # (8)::bigint), (key # (16)::bigint), (key # (32)::bigint), (key # (64)::bigint), (key # (128)::bigint), (key # (256)::bigint), (key # (512)::bigint), (key # (1024)::bigint), (key # (2048)::bigint), (key # (4096)::bigint), (key # (8192)::bigint), (key # (16384)::bigint), (key # (32768)::bigint)];

CREATE TABLE challenges.standings (
    participant_id uuid NOT NULL,
    challenge_id uuid NOT NULL,
    points integer DEFAULT 0 NOT NULL,
    current_streak integer DEFAULT 0 NOT NULL,
    best_streak integer DEFAULT 0 NOT NULL,
    accepted integer DEFAULT 0 NOT NULL,
    missed integer DEFAULT 0 NOT NULL,
    grace_spent integer DEFAULT 0 NOT NULL,
    last_decided date,
    present boolean DEFAULT true NOT NULL
);

ALTER TABLE ONLY challenges.standings FORCE ROW LEVEL SECURITY;

CREATE TABLE proofs.proofs (
    id uuid DEFAULT uuidv7() NOT NULL,
    challenge_id uuid NOT NULL,
    participant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    local_date date NOT NULL,
    opens_at timestamp with time zone NOT NULL,
    closes_at timestamp with time zone NOT NULL,
    kind text DEFAULT 'photo'::text NOT NULL,
    status text DEFAULT 'awaiting_upload'::text NOT NULL,
    reasons jsonb DEFAULT '[]'::jsonb NOT NULL,
    note text,
    captured_at timestamp with time zone,
    content_type text,
    content_length bigint,
    sha256 bytea,
    object_key text,
    sequencer text,
    stored_at timestamp with time zone,
    decided_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    value_text text,
    value_number double precision,
    timezone text,
    tzdata text,
    picture_key text,
    matched_proof_id uuid,
    matched_distance smallint,
    appeal text,
    appealed_at timestamp with time zone,
    review text,
    review_reason text,
    reviewed_by uuid,
    reviewed_at timestamp with time zone,
    picture_width integer,
    picture_height integer,
    CONSTRAINT proofs_appeal_length CHECK ((length(appeal) <= 1000)),
    CONSTRAINT proofs_content_length_positive CHECK ((content_length > 0)),
    CONSTRAINT proofs_note_length CHECK ((length(note) <= 500)),
    CONSTRAINT proofs_of_their_kind CHECK (
CASE kind
    WHEN 'photo'::text THEN ((num_nulls(content_type, content_length, sha256, object_key) = 0) AND (num_nonnulls(value_text, value_number) = 0))
    WHEN 'text'::text THEN ((length(value_text) <= 2000) AND (num_nonnulls(content_type, content_length, sha256, object_key, value_number) = 0) AND (value_text IS NOT NULL))
    WHEN 'number'::text THEN ((value_number IS NOT NULL) AND (num_nonnulls(content_type, content_length, sha256, object_key, value_text) = 0))
    ELSE false
END),
    CONSTRAINT proofs_review_known CHECK ((review = ANY (ARRAY['accept'::text, 'reject'::text]))),
    CONSTRAINT proofs_review_reason_length CHECK ((length(review_reason) <= 500)),
    CONSTRAINT proofs_sha256_length CHECK ((length(sha256) = 32)),
    CONSTRAINT proofs_status_known CHECK ((status = ANY (ARRAY['awaiting_upload'::text, 'processing'::text, 'accepted'::text, 'rejected'::text, 'needs_review'::text, 'replaced'::text])))
);

ALTER TABLE ONLY proofs.proofs FORCE ROW LEVEL SECURITY;

CREATE VIEW challenges.window_proofs WITH (security_invoker='true') AS
 SELECT participant_id,
    local_date,
    id,
    status,
    created_at
   FROM proofs.proofs;

CREATE TABLE challenges.windows (
    participant_id uuid NOT NULL,
    local_date date NOT NULL,
    opens_at timestamp with time zone NOT NULL,
    closes_at timestamp with time zone NOT NULL,
    timezone text NOT NULL,
    tzdata text NOT NULL,
    outcome text,
    CONSTRAINT windows_not_empty CHECK ((opens_at < closes_at)),
    CONSTRAINT windows_outcome_known CHECK ((outcome = ANY (ARRAY['accepted'::text, 'missed'::text, 'excused'::text])))
);

ALTER TABLE ONLY challenges.windows FORCE ROW LEVEL SECURITY;

CREATE TABLE core.audit (
    id uuid DEFAULT uuidv7() NOT NULL,
    at timestamp with time zone NOT NULL,
    action text NOT NULL,
    actor_id uuid,
    user_id uuid,
    session_id uuid,
    ip inet,
    user_agent text,
    request_id text,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT audit_action_form CHECK ((action ~ '^[a-z]+(_[a-z]+)*$'::text))
);

ALTER TABLE ONLY core.audit FORCE ROW LEVEL SECURITY;

CREATE TABLE core.idempotency_keys (
    user_id uuid NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status integer NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT idempotency_keys_key_length CHECK (((length(key) >= 1) AND (length(key) <= 255)))
);

ALTER TABLE ONLY core.idempotency_keys FORCE ROW LEVEL SECURITY;

CREATE TABLE core.limits (
    name text NOT NULL,
    quantity integer NOT NULL,
    period interval NOT NULL,
    per text NOT NULL,
    counts text NOT NULL,
    CONSTRAINT limits_per_known CHECK ((per = ANY (ARRAY['ip'::text, 'account'::text, 'account and ip'::text, 'address'::text]))),
    CONSTRAINT limits_period_positive CHECK ((period > '00:00:00'::interval)),
    CONSTRAINT limits_quantity_positive CHECK ((quantity > 0))
);

ALTER TABLE ONLY core.limits FORCE ROW LEVEL SECURITY;

CREATE TABLE core.outbox (
    id uuid DEFAULT uuidv7() NOT NULL,
    topic text NOT NULL,
    payload jsonb NOT NULL,
    traceparent text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    delivered_at timestamp with time zone,
    last_error text,
    CONSTRAINT outbox_topic_known CHECK ((topic = 'mail'::text))
);

ALTER TABLE ONLY core.outbox FORCE ROW LEVEL SECURITY;

CREATE TABLE core.rate_limits (
    name text NOT NULL,
    subject bytea NOT NULL,
    full_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY core.rate_limits FORCE ROW LEVEL SECURITY;

CREATE TABLE core.schema_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE core.signing_keys (
    kid text NOT NULL,
    jwk jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    verifies_until timestamp with time zone
);

ALTER TABLE ONLY core.signing_keys FORCE ROW LEVEL SECURITY;

CREATE TABLE core.sql_files (
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE identity.backup_codes (
    user_id uuid NOT NULL,
    code_hash bytea NOT NULL,
    used_at timestamp with time zone
);

ALTER TABLE ONLY identity.backup_codes FORCE ROW LEVEL SECURITY;

CREATE VIEW identity.contacts AS
 SELECT id,
    email,
    username,
    timezone,
    (email_verified_at IS NOT NULL) AS verified,
    wants_reminders,
    quiet_from,
    quiet_to,
    quiet_since
   FROM identity.users
  WHERE (deleted_at IS NULL);

CREATE TABLE identity.login_failures (
    login_hash bytea NOT NULL,
    failures integer NOT NULL,
    failed_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY identity.login_failures FORCE ROW LEVEL SECURITY;

CREATE TABLE identity.mail_links (
    purpose text NOT NULL,
    subject text NOT NULL,
    token_hash bytea NOT NULL,
    user_id uuid NOT NULL,
    email text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT mail_links_purpose_known CHECK ((purpose = ANY (ARRAY['magic_link'::text, 'password_reset'::text, 'email_change'::text, 'unlock'::text])))
);

ALTER TABLE ONLY identity.mail_links FORCE ROW LEVEL SECURITY;

CREATE TABLE identity.passkey_challenges (
    challenge bytea NOT NULL,
    user_id uuid,
    expires_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY identity.passkey_challenges FORCE ROW LEVEL SECURITY;

CREATE TABLE identity.passkeys (
    id uuid DEFAULT uuidv7() NOT NULL,
    user_id uuid NOT NULL,
    credential_id bytea NOT NULL,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    backed_up boolean NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    last_used_at timestamp with time zone,
    CONSTRAINT passkeys_name_length CHECK (((length(name) >= 1) AND (length(name) <= 60)))
);

ALTER TABLE ONLY identity.passkeys FORCE ROW LEVEL SECURITY;

CREATE TABLE identity.pending_sign_ins (
    token_hash bytea NOT NULL,
    user_id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY identity.pending_sign_ins FORCE ROW LEVEL SECURITY;

CREATE VIEW identity.profiles AS
 SELECT id,
        CASE
            WHEN (deleted_at IS NULL) THEN username
            ELSE ('deleted_'::text || "right"((id)::text, 12))
        END AS username,
    (deleted_at IS NOT NULL) AS is_deleted
   FROM identity.users;

CREATE TABLE identity.refresh_tokens (
    hash bytea NOT NULL,
    session_id uuid NOT NULL,
    generation integer NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY identity.refresh_tokens FORCE ROW LEVEL SECURITY;

CREATE TABLE identity.registrations (
    token_hash bytea NOT NULL,
    email text NOT NULL,
    username text NOT NULL,
    password_hash text NOT NULL,
    timezone text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT registrations_email_length CHECK (((length(email) >= 3) AND (length(email) <= 254)))
);

ALTER TABLE ONLY identity.registrations FORCE ROW LEVEL SECURITY;

CREATE TABLE identity.sessions (
    id uuid DEFAULT uuidv7() NOT NULL,
    user_id uuid NOT NULL,
    generation integer DEFAULT 0 NOT NULL,
    rotated_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    user_agent text,
    ip inet,
    ended_at timestamp with time zone,
    ended_reason text,
    authenticated_at timestamp with time zone DEFAULT now() NOT NULL,
    second_factor boolean DEFAULT false NOT NULL,
    CONSTRAINT sessions_ended_reason_known CHECK ((ended_reason = ANY (ARRAY['signed_out'::text, 'reuse'::text, 'password_changed'::text, 'second_factor_on'::text, 'account_deleted'::text]))),
    CONSTRAINT sessions_ended_with_reason CHECK (((ended_at IS NULL) = (ended_reason IS NULL)))
);

ALTER TABLE ONLY identity.sessions FORCE ROW LEVEL SECURITY;

CREATE TABLE identity.totp (
    user_id uuid NOT NULL,
    sealed_secret bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    confirmed_at timestamp with time zone,
    last_step bigint DEFAULT 0 NOT NULL
);

ALTER TABLE ONLY identity.totp FORCE ROW LEVEL SECURITY;

CREATE VIEW notifications.participations WITH (security_invoker='true') AS
 SELECT p.id AS participant_id,
    (p.left_at IS NULL) AS is_present,
    (c.status = 'active'::text) AS is_active,
    c.starts_at,
    c.ends_at
   FROM (challenges.participants p
     JOIN challenges.challenges c ON ((c.id = p.challenge_id)));

CREATE VIEW notifications.windows WITH (security_invoker='true') AS
 SELECT w.participant_id,
    w.local_date,
    p.user_id,
    w.opens_at,
    w.closes_at,
    schedule.remind AS before_close_minutes
   FROM (((challenges.windows w
     JOIN challenges.participants p ON ((p.id = w.participant_id)))
     JOIN challenges.challenges c ON ((c.id = p.challenge_id)))
     CROSS JOIN LATERAL challenges.schedule(c.rules) schedule(opens, closes, length, days, local, remind))
  WHERE (schedule.remind IS NOT NULL);

CREATE TABLE privacy.exports (
    id uuid DEFAULT uuidv7() NOT NULL,
    user_id uuid NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    built_at timestamp with time zone,
    object_key text,
    size bigint,
    expires_at timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    leased_until timestamp with time zone
);

ALTER TABLE ONLY privacy.exports FORCE ROW LEVEL SECURITY;

CREATE TABLE proofs.fingerprints (
    proof_id uuid NOT NULL,
    challenge_id uuid NOT NULL,
    sha256 bytea NOT NULL,
    pdq bit(256) NOT NULL,
    quality smallint NOT NULL,
    comparable boolean NOT NULL,
    user_id uuid NOT NULL,
    graphic bytea,
    CONSTRAINT fingerprints_graphic_size CHECK ((length(graphic) <= 49152)),
    CONSTRAINT fingerprints_quality_range CHECK (((quality >= 0) AND (quality <= 100)))
);

ALTER TABLE ONLY proofs.fingerprints FORCE ROW LEVEL SECURITY;

CREATE TABLE proofs.removals (
    key text NOT NULL,
    added_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY proofs.removals FORCE ROW LEVEL SECURITY;

CREATE TABLE proofs.scans (
    proof_id uuid NOT NULL,
    version_id text NOT NULL,
    sequencer text,
    stored_at timestamp with time zone,
    infected boolean,
    signature text,
    CONSTRAINT scans_announced CHECK (((sequencer IS NULL) = (stored_at IS NULL))),
    CONSTRAINT scans_infected_by CHECK (((signature IS NOT NULL) = COALESCE(infected, false))),
    CONSTRAINT scans_signature_length CHECK (((length(signature) >= 1) AND (length(signature) <= 100)))
);

ALTER TABLE ONLY proofs.scans FORCE ROW LEVEL SECURITY;

ALTER TABLE ONLY notifications.reminders
    ADD CONSTRAINT reminders_pkey PRIMARY KEY (participant_id, local_date);

CREATE FUNCTION notifications.plan_reminders(windows notifications.reminder_window[], at timestamp with time zone) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    SET enable_nestloop TO 'on'
    BEGIN ATOMIC
 INSERT INTO notifications.reminders AS r (participant_id, local_date, user_id, title, timezone, opens_at, closes_at, nominal_at, due_at, skipped, planned_at, planned_by)  SELECT w.participant_id,
             w.local_date,
             w.user_id,
             w.title,
             w.timezone,
             w.opens_at,
             w.closes_at,
             nominal.at,
             due.at,
                 CASE
                     WHEN (w.closes_at <= plan_reminders.at) THEN 'closed'::text
                     WHEN (due.at IS NULL) THEN 'quiet'::text
                     ELSE NULL::text
                 END AS "case",
             plan_reminders.at AS at,
             u.quiet_since
            FROM (((unnest(plan_reminders.windows) w(participant_id, local_date, user_id, title, timezone, opens_at, closes_at, before_close_minutes)
              JOIN identity.users u ON (((u.id = w.user_id) AND (u.purged_at IS NULL))))
              CROSS JOIN LATERAL ( SELECT GREATEST(w.opens_at, (w.closes_at - make_interval(mins => w.before_close_minutes))) AS at) nominal)
              CROSS JOIN LATERAL ( SELECT notifications.due_instant(nominal.at, w.opens_at, w.closes_at, u.timezone, u.quiet_from, u.quiet_to, plan_reminders.at) AS at) due) ON CONFLICT ON CONSTRAINT reminders_pkey DO UPDATE SET title = excluded.title, timezone = excluded.timezone, opens_at = excluded.opens_at, closes_at = excluded.closes_at, nominal_at = excluded.nominal_at, due_at = excluded.due_at, skipped = excluded.skipped, planned_at = excluded.planned_at, planned_by = excluded.planned_by
   WHERE ((r.sent_at IS NULL) AND ((r.cleared_at IS NOT NULL) OR (r.due_at IS NULL) OR ((r.skipped IS NULL) AND (r.due_at > excluded.planned_at))));
END;

ALTER TABLE ONLY challenges.challenges
    ADD CONSTRAINT challenges_pkey PRIMARY KEY (id);

ALTER TABLE ONLY challenges.participants
    ADD CONSTRAINT participants_one_per_user UNIQUE (challenge_id, user_id);

ALTER TABLE ONLY challenges.participants
    ADD CONSTRAINT participants_pkey PRIMARY KEY (id);

ALTER TABLE ONLY challenges.standings
    ADD CONSTRAINT standings_pkey PRIMARY KEY (participant_id);

ALTER TABLE ONLY challenges.windows
    ADD CONSTRAINT windows_pkey PRIMARY KEY (participant_id, local_date);

ALTER TABLE ONLY core.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY core.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, key);

ALTER TABLE ONLY core.limits
    ADD CONSTRAINT limits_pkey PRIMARY KEY (name);

ALTER TABLE ONLY core.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY core.rate_limits
    ADD CONSTRAINT rate_limits_pkey PRIMARY KEY (name, subject);

ALTER TABLE ONLY core.schema_version
    ADD CONSTRAINT schema_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY core.signing_keys
    ADD CONSTRAINT signing_keys_pkey PRIMARY KEY (kid);

ALTER TABLE ONLY core.sql_files
    ADD CONSTRAINT sql_files_pkey PRIMARY KEY (name);

ALTER TABLE ONLY identity.backup_codes
    ADD CONSTRAINT backup_codes_pkey PRIMARY KEY (user_id, code_hash);

ALTER TABLE ONLY identity.login_failures
    ADD CONSTRAINT login_failures_pkey PRIMARY KEY (login_hash);

ALTER TABLE ONLY identity.mail_links
    ADD CONSTRAINT mail_links_pkey PRIMARY KEY (purpose, subject);

ALTER TABLE ONLY identity.mail_links
    ADD CONSTRAINT mail_links_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY identity.passkey_challenges
    ADD CONSTRAINT passkey_challenges_pkey PRIMARY KEY (challenge);

ALTER TABLE ONLY identity.passkeys
    ADD CONSTRAINT passkeys_credential_id_key UNIQUE (credential_id);

ALTER TABLE ONLY identity.passkeys
    ADD CONSTRAINT passkeys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY identity.pending_sign_ins
    ADD CONSTRAINT pending_sign_ins_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY identity.refresh_tokens
    ADD CONSTRAINT refresh_tokens_one_per_generation UNIQUE (session_id, generation);

ALTER TABLE ONLY identity.refresh_tokens
    ADD CONSTRAINT refresh_tokens_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY identity.registrations
    ADD CONSTRAINT registrations_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY identity.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY identity.totp
    ADD CONSTRAINT totp_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY identity.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

ALTER TABLE ONLY privacy.exports
    ADD CONSTRAINT exports_pkey PRIMARY KEY (id);

ALTER TABLE ONLY proofs.fingerprints
    ADD CONSTRAINT fingerprints_pkey PRIMARY KEY (proof_id);

ALTER TABLE ONLY proofs.proofs
    ADD CONSTRAINT proofs_object_key_key UNIQUE (object_key);

ALTER TABLE ONLY proofs.proofs
    ADD CONSTRAINT proofs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY proofs.removals
    ADD CONSTRAINT removals_pkey PRIMARY KEY (key);

ALTER TABLE ONLY proofs.scans
    ADD CONSTRAINT scans_pkey PRIMARY KEY (proof_id, version_id);

CREATE UNIQUE INDEX challenges_invite_code ON challenges.challenges USING btree (invite_code) WHERE (status <> 'deleted'::text);

CREATE INDEX challenges_listed ON challenges.challenges USING btree (id DESC) WHERE ((visibility = 'public'::text) AND (status <> ALL (ARRAY['draft'::text, 'deleted'::text])));

CREATE INDEX challenges_listed_by_end ON challenges.challenges USING btree (ends_at) WHERE ((visibility = 'public'::text) AND (status = 'active'::text));

CREATE INDEX challenges_listed_by_start ON challenges.challenges USING btree (starts_at) WHERE ((visibility = 'public'::text) AND (status = 'active'::text));

CREATE INDEX challenges_listed_by_status ON challenges.challenges USING btree (status, id DESC) WHERE ((visibility = 'public'::text) AND (status <> ALL (ARRAY['draft'::text, 'deleted'::text])));

CREATE INDEX challenges_mine ON challenges.challenges USING btree (owner_id, id DESC);

CREATE INDEX challenges_search ON challenges.challenges USING gin (search) WHERE ((visibility = 'public'::text) AND (status <> ALL (ARRAY['draft'::text, 'deleted'::text])));

CREATE INDEX challenges_unsearchable ON challenges.challenges USING btree (id) WHERE (search IS NULL);

CREATE INDEX challenges_words ON challenges.challenges USING gin (challenges.words(title, description)) WHERE ((visibility = 'public'::text) AND (status <> ALL (ARRAY['draft'::text, 'deleted'::text])));

CREATE INDEX participants_joined ON challenges.participants USING btree (user_id, id DESC);

CREATE INDEX participants_present ON challenges.participants USING btree (challenge_id, id) WHERE (left_at IS NULL);

CREATE INDEX standings_ranked ON challenges.standings USING btree (challenge_id, present, ((- points)), participant_id) INCLUDE (points);

CREATE INDEX windows_undecided ON challenges.windows USING btree (closes_at) WHERE (outcome IS NULL);

CREATE INDEX audit_at ON core.audit USING btree (at);

CREATE INDEX audit_user ON core.audit USING btree (user_id, id);

CREATE INDEX idempotency_keys_created_at ON core.idempotency_keys USING btree (created_at);

CREATE INDEX outbox_due ON core.outbox USING btree (due_at) WHERE (delivered_at IS NULL);

CREATE INDEX rate_limits_full_at ON core.rate_limits USING btree (full_at);

CREATE INDEX login_failures_failed_at ON identity.login_failures USING btree (failed_at);

CREATE INDEX mail_links_expires_at ON identity.mail_links USING btree (expires_at);

CREATE INDEX mail_links_user ON identity.mail_links USING btree (user_id);

CREATE INDEX passkey_challenges_expires_at ON identity.passkey_challenges USING btree (expires_at);

CREATE INDEX passkey_challenges_user ON identity.passkey_challenges USING btree (user_id);

CREATE INDEX passkeys_user ON identity.passkeys USING btree (user_id);

CREATE INDEX pending_sign_ins_expires_at ON identity.pending_sign_ins USING btree (expires_at);

CREATE INDEX pending_sign_ins_user ON identity.pending_sign_ins USING btree (user_id);

CREATE INDEX refresh_tokens_expires_at ON identity.refresh_tokens USING btree (expires_at);

CREATE INDEX registrations_email ON identity.registrations USING btree (lower(email));

CREATE INDEX registrations_expires_at ON identity.registrations USING btree (expires_at);

CREATE INDEX registrations_username ON identity.registrations USING btree (lower(username));

CREATE INDEX sessions_user ON identity.sessions USING btree (user_id);

CREATE INDEX sessions_user_ip ON identity.sessions USING btree (user_id, ip);

CREATE INDEX users_bcrypt ON identity.users USING btree (id) WHERE (password_hash ~~ '$2%'::text);

CREATE UNIQUE INDEX users_email_key ON identity.users USING btree (lower(email));

CREATE INDEX users_leaving ON identity.users USING btree (id) WHERE ((deleted_at IS NOT NULL) AND (purged_at IS NULL));

CREATE UNIQUE INDEX users_username_key ON identity.users USING btree (lower(username));

CREATE INDEX reminders_pending ON notifications.reminders USING btree (due_at) WHERE ((sent_at IS NULL) AND (cleared_at IS NULL) AND (skipped IS NULL));

CREATE INDEX reminders_person ON notifications.reminders USING btree (user_id, closes_at) WHERE ((sent_at IS NULL) AND (cleared_at IS NULL));

CREATE UNIQUE INDEX exports_one_under_way ON privacy.exports USING btree (user_id) WHERE (built_at IS NULL);

CREATE INDEX exports_user ON privacy.exports USING btree (user_id, id);

CREATE INDEX fingerprints_band_00 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 1, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_01 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 17, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_02 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 33, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_03 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 49, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_04 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 65, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_05 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 81, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_06 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 97, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_07 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 113, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_08 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 129, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_09 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 145, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_10 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 161, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_11 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 177, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_12 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 193, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_13 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 209, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_14 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 225, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_band_15 ON proofs.fingerprints USING btree ((((uuid_hash_extended(challenge_id, (0)::bigint) << 16) | (("substring"(pdq, 241, 16))::integer)::bigint))) INCLUDE (challenge_id, pdq, proof_id);

CREATE INDEX fingerprints_challenge ON proofs.fingerprints USING btree (challenge_id);

CREATE INDEX fingerprints_sha256 ON proofs.fingerprints USING btree (sha256);

CREATE INDEX fingerprints_user ON proofs.fingerprints USING btree (user_id);

CREATE INDEX proofs_challenge ON proofs.proofs USING btree (challenge_id, id);

CREATE INDEX proofs_reviewed ON proofs.proofs USING btree (reviewed_by) WHERE (reviewed_by IS NOT NULL);

CREATE INDEX proofs_stored ON proofs.proofs USING btree (user_id, created_at) INCLUDE (content_length) WHERE (kind = 'photo'::text);

CREATE INDEX proofs_to_review ON proofs.proofs USING btree (challenge_id, id) WHERE (status = 'needs_review'::text);

CREATE INDEX proofs_window ON proofs.proofs USING btree (participant_id, local_date);

CREATE TRIGGER challenges_timezone BEFORE INSERT OR UPDATE OF timezone ON challenges.challenges FOR EACH ROW EXECUTE FUNCTION core.check_timezone();

CREATE CONSTRAINT TRIGGER participants_counted AFTER INSERT OR DELETE OR UPDATE OF left_at ON challenges.participants DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION challenges.update_participant_count();

CREATE CONSTRAINT TRIGGER participants_present AFTER UPDATE OF left_at ON challenges.participants DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (((old.left_at IS NULL) <> (new.left_at IS NULL))) EXECUTE FUNCTION challenges.update_presence();

CREATE TRIGGER participants_standing AFTER INSERT ON challenges.participants FOR EACH ROW EXECUTE FUNCTION challenges.add_standing();

CREATE TRIGGER participants_timezone BEFORE INSERT OR UPDATE OF timezone ON challenges.participants FOR EACH ROW EXECUTE FUNCTION core.check_timezone();

CREATE TRIGGER registrations_timezone BEFORE INSERT OR UPDATE OF timezone ON identity.registrations FOR EACH ROW EXECUTE FUNCTION core.check_timezone();

CREATE TRIGGER users_timezone BEFORE INSERT OR UPDATE OF timezone ON identity.users FOR EACH ROW EXECUTE FUNCTION core.check_timezone();

ALTER TABLE ONLY challenges.challenges
    ADD CONSTRAINT challenges_owner_fkey FOREIGN KEY (owner_id) REFERENCES identity.users(id);

ALTER TABLE ONLY challenges.participants
    ADD CONSTRAINT participants_challenge_fkey FOREIGN KEY (challenge_id) REFERENCES challenges.challenges(id) ON DELETE CASCADE;

ALTER TABLE ONLY challenges.participants
    ADD CONSTRAINT participants_user_fkey FOREIGN KEY (user_id) REFERENCES identity.users(id);

ALTER TABLE ONLY challenges.standings
    ADD CONSTRAINT standings_challenge_fkey FOREIGN KEY (challenge_id) REFERENCES challenges.challenges(id) ON DELETE CASCADE;

ALTER TABLE ONLY challenges.standings
    ADD CONSTRAINT standings_participant_fkey FOREIGN KEY (participant_id) REFERENCES challenges.participants(id) ON DELETE CASCADE;

ALTER TABLE ONLY challenges.windows
    ADD CONSTRAINT windows_participant_fkey FOREIGN KEY (participant_id) REFERENCES challenges.participants(id) ON DELETE CASCADE;

ALTER TABLE ONLY core.rate_limits
    ADD CONSTRAINT rate_limits_limit_fkey FOREIGN KEY (name) REFERENCES core.limits(name) ON DELETE CASCADE;

ALTER TABLE ONLY identity.backup_codes
    ADD CONSTRAINT backup_codes_user_fkey FOREIGN KEY (user_id) REFERENCES identity.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.passkey_challenges
    ADD CONSTRAINT passkey_challenges_user_fkey FOREIGN KEY (user_id) REFERENCES identity.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.passkeys
    ADD CONSTRAINT passkeys_user_fkey FOREIGN KEY (user_id) REFERENCES identity.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.pending_sign_ins
    ADD CONSTRAINT pending_sign_ins_user_fkey FOREIGN KEY (user_id) REFERENCES identity.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.refresh_tokens
    ADD CONSTRAINT refresh_tokens_session_fkey FOREIGN KEY (session_id) REFERENCES identity.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.sessions
    ADD CONSTRAINT sessions_user_fkey FOREIGN KEY (user_id) REFERENCES identity.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY identity.totp
    ADD CONSTRAINT totp_user_fkey FOREIGN KEY (user_id) REFERENCES identity.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY notifications.reminders
    ADD CONSTRAINT reminders_participant_fkey FOREIGN KEY (participant_id) REFERENCES challenges.participants(id) ON DELETE CASCADE;

ALTER TABLE ONLY notifications.reminders
    ADD CONSTRAINT reminders_user_fkey FOREIGN KEY (user_id) REFERENCES identity.users(id);

ALTER TABLE ONLY privacy.exports
    ADD CONSTRAINT exports_user_fkey FOREIGN KEY (user_id) REFERENCES identity.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY proofs.fingerprints
    ADD CONSTRAINT fingerprints_challenge_fkey FOREIGN KEY (challenge_id) REFERENCES challenges.challenges(id) ON DELETE CASCADE;

ALTER TABLE ONLY proofs.fingerprints
    ADD CONSTRAINT fingerprints_proof_fkey FOREIGN KEY (proof_id) REFERENCES proofs.proofs(id) ON DELETE CASCADE;

ALTER TABLE ONLY proofs.proofs
    ADD CONSTRAINT proofs_challenge_fkey FOREIGN KEY (challenge_id) REFERENCES challenges.challenges(id) ON DELETE CASCADE;

ALTER TABLE ONLY proofs.proofs
    ADD CONSTRAINT proofs_participant_fkey FOREIGN KEY (participant_id) REFERENCES challenges.participants(id) ON DELETE CASCADE;

ALTER TABLE ONLY proofs.proofs
    ADD CONSTRAINT proofs_user_fkey FOREIGN KEY (user_id) REFERENCES identity.users(id);

ALTER TABLE ONLY proofs.scans
    ADD CONSTRAINT scans_proof_fkey FOREIGN KEY (proof_id) REFERENCES proofs.proofs(id) ON DELETE CASCADE;

ALTER TABLE challenges.challenges ENABLE ROW LEVEL SECURITY;

CREATE POLICY challenges_create ON challenges.challenges FOR INSERT TO chally_app WITH CHECK (((owner_id = core.actor()) AND (status = ANY (ARRAY['draft'::text, 'active'::text])) AND core.check_present(created_at) AND challenges.check_rules(rules) AND challenges.check_owned_quota() AND (starts_at > '2000-01-01 00:00:00+00'::timestamp with time zone) AND (ends_at < '2200-01-01 00:00:00+00'::timestamp with time zone) AND ((ends_at - starts_at) <= '1098 days'::interval)));

CREATE POLICY challenges_edit ON challenges.challenges FOR UPDATE TO chally_app USING (((owner_id = core.actor()) AND (status <> 'deleted'::text))) WITH CHECK ((owner_id = core.actor()));

CREATE POLICY challenges_owner ON challenges.challenges TO chally_owner USING (true);

CREATE POLICY challenges_system ON challenges.challenges TO chally_system USING (true);

CREATE POLICY challenges_visible ON challenges.challenges FOR SELECT TO chally_app USING (((owner_id = core.actor()) OR ((status <> 'deleted'::text) AND (((visibility = 'public'::text) AND (status <> 'draft'::text)) OR challenges.takes_part(id)))));

ALTER TABLE challenges.participants ENABLE ROW LEVEL SECURITY;

CREATE POLICY participants_owner ON challenges.participants TO chally_owner USING (true);

CREATE POLICY participants_roster ON challenges.participants FOR SELECT TO chally_app USING (((user_id = core.actor()) OR ((left_at IS NULL) AND challenges.shows_roster(challenge_id))));

CREATE POLICY participants_system ON challenges.participants TO chally_system USING (true);

ALTER TABLE challenges.standings ENABLE ROW LEVEL SECURITY;

CREATE POLICY standings_owner ON challenges.standings TO chally_owner USING (true);

CREATE POLICY standings_system ON challenges.standings TO chally_system USING (true);

ALTER TABLE challenges.windows ENABLE ROW LEVEL SECURITY;

CREATE POLICY windows_own ON challenges.windows FOR SELECT TO chally_app USING ((EXISTS ( SELECT
   FROM challenges.participants p
  WHERE ((p.id = windows.participant_id) AND (p.user_id = core.actor())))));

CREATE POLICY windows_owner ON challenges.windows TO chally_owner USING (true);

CREATE POLICY windows_system ON challenges.windows TO chally_system USING (true);

ALTER TABLE core.audit ENABLE ROW LEVEL SECURITY;

CREATE POLICY audit_own ON core.audit FOR INSERT TO chally_app WITH CHECK (((actor_id = core.actor()) AND core.check_present(at)));

CREATE POLICY audit_owner ON core.audit TO chally_owner USING (true);

CREATE POLICY audit_system ON core.audit TO chally_system USING (true);

ALTER TABLE core.idempotency_keys ENABLE ROW LEVEL SECURITY;

CREATE POLICY idempotency_keys_own ON core.idempotency_keys TO chally_app USING ((user_id = core.actor())) WITH CHECK (((user_id = core.actor()) AND (created_at = now())));

CREATE POLICY idempotency_keys_owner ON core.idempotency_keys TO chally_owner USING (true);

CREATE POLICY idempotency_keys_system ON core.idempotency_keys TO chally_system USING (true);

ALTER TABLE core.limits ENABLE ROW LEVEL SECURITY;

CREATE POLICY limits_owner ON core.limits TO chally_owner USING (true);

CREATE POLICY limits_system ON core.limits TO chally_system USING (true);

ALTER TABLE core.outbox ENABLE ROW LEVEL SECURITY;

CREATE POLICY outbox_owner ON core.outbox TO chally_owner USING (true);

CREATE POLICY outbox_system ON core.outbox TO chally_system USING (true);

ALTER TABLE core.rate_limits ENABLE ROW LEVEL SECURITY;

CREATE POLICY rate_limits_owner ON core.rate_limits TO chally_owner USING (true);

CREATE POLICY rate_limits_system ON core.rate_limits TO chally_system USING (true);

ALTER TABLE core.signing_keys ENABLE ROW LEVEL SECURITY;

CREATE POLICY signing_keys_owner ON core.signing_keys TO chally_owner USING (true);

CREATE POLICY signing_keys_public ON core.signing_keys FOR SELECT TO chally_app USING (true);

CREATE POLICY signing_keys_system ON core.signing_keys TO chally_system USING (true);

ALTER TABLE identity.backup_codes ENABLE ROW LEVEL SECURITY;

CREATE POLICY backup_codes_owner ON identity.backup_codes TO chally_owner USING (true);

CREATE POLICY backup_codes_system ON identity.backup_codes TO chally_system USING (true);

ALTER TABLE identity.login_failures ENABLE ROW LEVEL SECURITY;

CREATE POLICY login_failures_owner ON identity.login_failures TO chally_owner USING (true);

CREATE POLICY login_failures_system ON identity.login_failures TO chally_system USING (true);

ALTER TABLE identity.mail_links ENABLE ROW LEVEL SECURITY;

CREATE POLICY mail_links_owner ON identity.mail_links TO chally_owner USING (true);

CREATE POLICY mail_links_system ON identity.mail_links TO chally_system USING (true);

ALTER TABLE identity.passkey_challenges ENABLE ROW LEVEL SECURITY;

CREATE POLICY passkey_challenges_owner ON identity.passkey_challenges TO chally_owner USING (true);

CREATE POLICY passkey_challenges_system ON identity.passkey_challenges TO chally_system USING (true);

ALTER TABLE identity.passkeys ENABLE ROW LEVEL SECURITY;

CREATE POLICY passkeys_owner ON identity.passkeys TO chally_owner USING (true);

CREATE POLICY passkeys_system ON identity.passkeys TO chally_system USING (true);

ALTER TABLE identity.pending_sign_ins ENABLE ROW LEVEL SECURITY;

CREATE POLICY pending_sign_ins_owner ON identity.pending_sign_ins TO chally_owner USING (true);

CREATE POLICY pending_sign_ins_system ON identity.pending_sign_ins TO chally_system USING (true);

ALTER TABLE identity.refresh_tokens ENABLE ROW LEVEL SECURITY;

CREATE POLICY refresh_tokens_owner ON identity.refresh_tokens TO chally_owner USING (true);

CREATE POLICY refresh_tokens_system ON identity.refresh_tokens TO chally_system USING (true);

ALTER TABLE identity.registrations ENABLE ROW LEVEL SECURITY;

CREATE POLICY registrations_owner ON identity.registrations TO chally_owner USING (true);

CREATE POLICY registrations_system ON identity.registrations TO chally_system USING (true);

ALTER TABLE identity.sessions ENABLE ROW LEVEL SECURITY;

CREATE POLICY sessions_owner ON identity.sessions TO chally_owner USING (true);

CREATE POLICY sessions_system ON identity.sessions TO chally_system USING (true);

ALTER TABLE identity.totp ENABLE ROW LEVEL SECURITY;

CREATE POLICY totp_owner ON identity.totp TO chally_owner USING (true);

CREATE POLICY totp_system ON identity.totp TO chally_system USING (true);

ALTER TABLE identity.users ENABLE ROW LEVEL SECURITY;

CREATE POLICY users_owner ON identity.users TO chally_owner USING (true);

CREATE POLICY users_self ON identity.users FOR SELECT TO chally_app USING ((id = core.actor()));

CREATE POLICY users_system ON identity.users TO chally_system USING (true);

ALTER TABLE notifications.reminders ENABLE ROW LEVEL SECURITY;

CREATE POLICY reminders_owner ON notifications.reminders TO chally_owner USING (true);

CREATE POLICY reminders_system ON notifications.reminders TO chally_system USING (true);

ALTER TABLE privacy.exports ENABLE ROW LEVEL SECURITY;

CREATE POLICY exports_owner ON privacy.exports TO chally_owner USING (true);

CREATE POLICY exports_system ON privacy.exports TO chally_system USING (true);

ALTER TABLE proofs.fingerprints ENABLE ROW LEVEL SECURITY;

CREATE POLICY fingerprints_owner ON proofs.fingerprints TO chally_owner USING (true);

CREATE POLICY fingerprints_system ON proofs.fingerprints TO chally_system USING (true);

ALTER TABLE proofs.proofs ENABLE ROW LEVEL SECURITY;

CREATE POLICY proofs_owner ON proofs.proofs TO chally_owner USING (true);

CREATE POLICY proofs_system ON proofs.proofs TO chally_system USING (true);

CREATE POLICY proofs_visible ON proofs.proofs FOR SELECT TO chally_app USING (proofs.is_visible(user_id, challenge_id));

ALTER TABLE proofs.removals ENABLE ROW LEVEL SECURITY;

CREATE POLICY removals_owner ON proofs.removals TO chally_owner USING (true);

CREATE POLICY removals_system ON proofs.removals TO chally_system USING (true);

ALTER TABLE proofs.scans ENABLE ROW LEVEL SECURITY;

CREATE POLICY scans_owner ON proofs.scans TO chally_owner USING (true);

CREATE POLICY scans_system ON proofs.scans TO chally_system USING (true);

GRANT USAGE ON SCHEMA challenges TO chally_app;
GRANT USAGE ON SCHEMA challenges TO chally_system;

GRANT USAGE ON SCHEMA core TO chally_app;
GRANT USAGE ON SCHEMA core TO chally_system;

GRANT USAGE ON SCHEMA identity TO chally_app;
GRANT USAGE ON SCHEMA identity TO chally_system;

GRANT USAGE ON SCHEMA notifications TO chally_app;
GRANT USAGE ON SCHEMA notifications TO chally_system;

GRANT USAGE ON SCHEMA privacy TO chally_app;
GRANT USAGE ON SCHEMA privacy TO chally_system;

GRANT USAGE ON SCHEMA proofs TO chally_app;
GRANT USAGE ON SCHEMA proofs TO chally_system;

REVOKE ALL ON FUNCTION challenges.add_standing() FROM PUBLIC;

REVOKE ALL ON FUNCTION challenges.change_account_zone(person uuid, zone text, at timestamp with time zone, tzdata text) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.change_account_zone(person uuid, zone text, at timestamp with time zone, tzdata text) TO chally_system;

REVOKE ALL ON FUNCTION challenges.change_own_zone(participant uuid, zone text, at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.change_own_zone(participant uuid, zone text, at timestamp with time zone) TO chally_app;

REVOKE ALL ON FUNCTION challenges.change_participant_zone(participant uuid, zone text, at timestamp with time zone, tzdata text) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.change_participant_zone(participant uuid, zone text, at timestamp with time zone, tzdata text) TO chally_system;

GRANT SELECT ON TABLE challenges.challenges TO chally_system;
GRANT SELECT ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(owner_id) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(title),UPDATE(title) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(description),UPDATE(description) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(status) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(visibility),UPDATE(visibility) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(invite_code) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(timezone) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(starts_at) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(ends_at) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(max_participants),UPDATE(max_participants) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(late_join),UPDATE(late_join) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(roster_visibility),UPDATE(roster_visibility) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(rules) ON TABLE challenges.challenges TO chally_app;

GRANT INSERT(created_at) ON TABLE challenges.challenges TO chally_app;

GRANT UPDATE(search) ON TABLE challenges.challenges TO chally_system;
GRANT INSERT(search),UPDATE(search) ON TABLE challenges.challenges TO chally_app;

REVOKE ALL ON FUNCTION challenges.check_joinable(challenge challenges.challenges, at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION challenges.check_owned_quota() FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.check_owned_quota() TO chally_app;

REVOKE ALL ON FUNCTION challenges.check_rules(rules jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.check_rules(rules jsonb) TO chally_app;

REVOKE ALL ON FUNCTION challenges.compute_windows(people uuid[], first date, last date, at timestamp with time zone, back integer, ahead integer, from_start boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.compute_windows(people uuid[], first date, last date, at timestamp with time zone, back integer, ahead integer, from_start boolean) TO chally_app;
GRANT ALL ON FUNCTION challenges.compute_windows(people uuid[], first date, last date, at timestamp with time zone, back integer, ahead integer, from_start boolean) TO chally_system;

REVOKE ALL ON FUNCTION challenges.count_participants_now(challenge uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.count_participants_now(challenge uuid) TO chally_app;

REVOKE ALL ON FUNCTION challenges.discover(q text, state text, at timestamp with time zone, before uuid, skip integer, quantity integer) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.discover(q text, state text, at timestamp with time zone, before uuid, skip integer, quantity integer) TO chally_app;

REVOKE ALL ON FUNCTION challenges.effective_windows(people uuid[], first date, last date, at timestamp with time zone, back integer, ahead integer, from_start boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.effective_windows(people uuid[], first date, last date, at timestamp with time zone, back integer, ahead integer, from_start boolean) TO chally_app;
GRANT ALL ON FUNCTION challenges.effective_windows(people uuid[], first date, last date, at timestamp with time zone, back integer, ahead integer, from_start boolean) TO chally_system;

REVOKE ALL ON FUNCTION challenges.end_participation(challenge uuid, participant uuid, barred boolean, at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION challenges.find_public(wanted tsquery, state text, at timestamp with time zone, before uuid, skip integer, quantity integer) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.find_public(wanted tsquery, state text, at timestamp with time zone, before uuid, skip integer, quantity integer) TO chally_app;

REVOKE ALL ON FUNCTION challenges."join"(challenge uuid, code text, zone text, at timestamp with time zone, max_joined integer) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges."join"(challenge uuid, code text, zone text, at timestamp with time zone, max_joined integer) TO chally_app;

REVOKE ALL ON FUNCTION challenges.leave(challenge uuid, at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.leave(challenge uuid, at timestamp with time zone) TO chally_app;

REVOKE ALL ON FUNCTION challenges.matches_state(state text, at timestamp with time zone, status text, starts_at timestamp with time zone, ends_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION challenges.schedule(rules jsonb, OUT opens time without time zone, OUT closes time without time zone, OUT length interval, OUT days jsonb, OUT local boolean, OUT remind integer) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.schedule(rules jsonb, OUT opens time without time zone, OUT closes time without time zone, OUT length interval, OUT days jsonb, OUT local boolean, OUT remind integer) TO chally_app;
GRANT ALL ON FUNCTION challenges.schedule(rules jsonb, OUT opens time without time zone, OUT closes time without time zone, OUT length interval, OUT days jsonb, OUT local boolean, OUT remind integer) TO chally_system;

GRANT SELECT ON TABLE challenges.participants TO chally_system;
GRANT SELECT ON TABLE challenges.participants TO chally_app;

GRANT SELECT,INSERT,UPDATE ON TABLE identity.users TO chally_system;

GRANT SELECT(id) ON TABLE identity.users TO chally_app;

GRANT SELECT(email) ON TABLE identity.users TO chally_app;

GRANT SELECT(username) ON TABLE identity.users TO chally_app;

GRANT SELECT(timezone) ON TABLE identity.users TO chally_app;

GRANT SELECT(role) ON TABLE identity.users TO chally_app;

GRANT SELECT(email_verified_at) ON TABLE identity.users TO chally_app;

GRANT SELECT(created_at) ON TABLE identity.users TO chally_app;

GRANT SELECT(wants_reminders) ON TABLE identity.users TO chally_app;

GRANT SELECT(deleted_at) ON TABLE identity.users TO chally_app;

GRANT SELECT(quiet_from) ON TABLE identity.users TO chally_app;

GRANT SELECT(quiet_to) ON TABLE identity.users TO chally_app;

REVOKE ALL ON FUNCTION challenges.participations_in_account_zone(person uuid, at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.participations_in_account_zone(person uuid, at timestamp with time zone) TO chally_app;
GRANT ALL ON FUNCTION challenges.participations_in_account_zone(person uuid, at timestamp with time zone) TO chally_system;

REVOKE ALL ON FUNCTION challenges.plan_reminders(people uuid[], at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.plan_reminders(people uuid[], at timestamp with time zone) TO chally_system;

REVOKE ALL ON FUNCTION challenges.precompute_own_windows(participant uuid, at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.precompute_own_windows(participant uuid, at timestamp with time zone) TO chally_app;
GRANT ALL ON FUNCTION challenges.precompute_own_windows(participant uuid, at timestamp with time zone) TO chally_system;

REVOKE ALL ON FUNCTION challenges.precompute_windows(people uuid[], at timestamp with time zone, tzdata text) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.precompute_windows(people uuid[], at timestamp with time zone, tzdata text) TO chally_system;

REVOKE ALL ON FUNCTION challenges.ranking(challenge uuid, after_points integer, after_participant uuid, skip integer, quantity integer) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.ranking(challenge uuid, after_points integer, after_participant uuid, skip integer, quantity integer) TO chally_app;

REVOKE ALL ON FUNCTION challenges.recompute_windows(challenge uuid, at timestamp with time zone, tzdata text) FROM PUBLIC;

REVOKE ALL ON FUNCTION challenges.remove(challenge uuid, participant uuid, at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.remove(challenge uuid, participant uuid, at timestamp with time zone) TO chally_app;

REVOKE ALL ON FUNCTION challenges.reschedule(challenge uuid, zone text, starts_at timestamp with time zone, ends_at timestamp with time zone, rules jsonb, at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.reschedule(challenge uuid, zone text, starts_at timestamp with time zone, ends_at timestamp with time zone, rules jsonb, at timestamp with time zone) TO chally_app;

REVOKE ALL ON FUNCTION challenges.tokens(content text) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.tokens(content text) TO chally_app;
GRANT ALL ON FUNCTION challenges.tokens(content text) TO chally_system;

REVOKE ALL ON FUNCTION challenges.search_query(q text) FROM PUBLIC;

REVOKE ALL ON FUNCTION challenges.set_invite_code(challenge uuid, code text) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.set_invite_code(challenge uuid, code text) TO chally_app;

REVOKE ALL ON FUNCTION challenges.set_status(challenge uuid, status text, at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.set_status(challenge uuid, status text, at timestamp with time zone) TO chally_app;

REVOKE ALL ON FUNCTION core.actor() FROM PUBLIC;
GRANT ALL ON FUNCTION core.actor() TO chally_app;
GRANT ALL ON FUNCTION core.actor() TO chally_system;

REVOKE ALL ON FUNCTION challenges.takes_part(challenge uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.takes_part(challenge uuid) TO chally_app;
GRANT ALL ON FUNCTION challenges.takes_part(challenge uuid) TO chally_system;

REVOKE ALL ON FUNCTION challenges.shows_roster(challenge uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.shows_roster(challenge uuid) TO chally_app;
GRANT ALL ON FUNCTION challenges.shows_roster(challenge uuid) TO chally_system;

REVOKE ALL ON FUNCTION challenges.update_participant_count() FROM PUBLIC;

REVOKE ALL ON FUNCTION challenges.update_presence() FROM PUBLIC;

REVOKE ALL ON FUNCTION challenges.windows_after_zone_change(participant uuid, zone text, at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.windows_after_zone_change(participant uuid, zone text, at timestamp with time zone) TO chally_app;
GRANT ALL ON FUNCTION challenges.windows_after_zone_change(participant uuid, zone text, at timestamp with time zone) TO chally_system;

REVOKE ALL ON FUNCTION challenges.words(title text, description text) FROM PUBLIC;
GRANT ALL ON FUNCTION challenges.words(title text, description text) TO chally_app;
GRANT ALL ON FUNCTION challenges.words(title text, description text) TO chally_system;

REVOKE ALL ON FUNCTION core.check_present(at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION core.check_present(at timestamp with time zone) TO chally_app;

REVOKE ALL ON FUNCTION core.check_timezone() FROM PUBLIC;

REVOKE ALL ON FUNCTION core.claim_key(key text) FROM PUBLIC;
GRANT ALL ON FUNCTION core.claim_key(key text) TO chally_app;
GRANT ALL ON FUNCTION core.claim_key(key text) TO chally_system;

REVOKE ALL ON FUNCTION core.clock_tolerance() FROM PUBLIC;
GRANT ALL ON FUNCTION core.clock_tolerance() TO chally_app;

REVOKE ALL ON FUNCTION core.identify(actor uuid, session uuid, reason text, traceparent text, read_only boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION core.identify(actor uuid, session uuid, reason text, traceparent text, read_only boolean) TO chally_app;
GRANT ALL ON FUNCTION core.identify(actor uuid, session uuid, reason text, traceparent text, read_only boolean) TO chally_system;

REVOKE ALL ON FUNCTION core.instants(zone text, opens_wall timestamp without time zone, closes_wall timestamp without time zone, OUT opening timestamp with time zone, OUT closing timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION core.instants(zone text, opens_wall timestamp without time zone, closes_wall timestamp without time zone, OUT opening timestamp with time zone, OUT closing timestamp with time zone) TO chally_app;
GRANT ALL ON FUNCTION core.instants(zone text, opens_wall timestamp without time zone, closes_wall timestamp without time zone, OUT opening timestamp with time zone, OUT closing timestamp with time zone) TO chally_system;

REVOKE ALL ON FUNCTION core.moderates() FROM PUBLIC;
GRANT ALL ON FUNCTION core.moderates() TO chally_app;
GRANT ALL ON FUNCTION core.moderates() TO chally_system;

REVOKE ALL ON FUNCTION core.take(names text[], subjects bytea[], lifted text[], at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION core.take(names text[], subjects bytea[], lifted text[], at timestamp with time zone) TO chally_app;
GRANT ALL ON FUNCTION core.take(names text[], subjects bytea[], lifted text[], at timestamp with time zone) TO chally_system;

REVOKE ALL ON FUNCTION core.tzdata_release() FROM PUBLIC;

REVOKE ALL ON FUNCTION identity.live_session(session_id uuid, user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION identity.live_session(session_id uuid, user_id uuid) TO chally_app;
GRANT ALL ON FUNCTION identity.live_session(session_id uuid, user_id uuid) TO chally_system;

GRANT SELECT,DELETE,UPDATE ON TABLE notifications.reminders TO chally_system;

REVOKE ALL ON FUNCTION notifications.clear_reminders(participant uuid, at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION notifications.quiet_spans(zone text, quiet_from time without time zone, quiet_to time without time zone, around timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION notifications.quiet_spans(zone text, quiet_from time without time zone, quiet_to time without time zone, around timestamp with time zone) TO chally_system;

REVOKE ALL ON FUNCTION notifications.due_instant(nominal_at timestamp with time zone, opens_at timestamp with time zone, closes_at timestamp with time zone, zone text, quiet_from time without time zone, quiet_to time without time zone, at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION notifications.due_instant(nominal_at timestamp with time zone, opens_at timestamp with time zone, closes_at timestamp with time zone, zone text, quiet_from time without time zone, quiet_to time without time zone, at timestamp with time zone) TO chally_system;

REVOKE ALL ON FUNCTION notifications.replan_reminders(person uuid, at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION notifications.replan_reminders(person uuid, at timestamp with time zone) TO chally_system;

REVOKE ALL ON FUNCTION notifications.restore_reminder(participant uuid, date date, at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION notifications.restore_reminder(participant uuid, date date, at timestamp with time zone) TO chally_system;

REVOKE ALL ON FUNCTION notifications.resume_reminders(participant uuid, cleared_at timestamp with time zone, at timestamp with time zone, decided date[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_close(integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_creat(integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_create(oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_from_bytea(oid, bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_get(oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_get(oid, bigint, integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_lseek(integer, integer, integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_lseek64(integer, bigint, integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_open(oid, integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_put(oid, bigint, bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_tell(integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_tell64(integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_truncate(integer, integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_truncate64(integer, bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lo_unlink(oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.loread(integer, integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.lowrite(integer, bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.pg_cancel_backend(integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.pg_logical_emit_message(transactional boolean, prefix text, message bytea, flush boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.pg_logical_emit_message(transactional boolean, prefix text, message text, flush boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pg_catalog.pg_terminate_backend(pid integer, timeout bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION proofs.find_similar(scope uuid, variants text[], distance integer) FROM PUBLIC;
GRANT ALL ON FUNCTION proofs.find_similar(scope uuid, variants text[], distance integer) TO chally_system;

REVOKE ALL ON FUNCTION proofs.is_visible(sender uuid, challenge uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION proofs.is_visible(sender uuid, challenge uuid) TO chally_app;
GRANT ALL ON FUNCTION proofs.is_visible(sender uuid, challenge uuid) TO chally_system;

REVOKE ALL ON FUNCTION proofs.picture_prefix(object_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION proofs.picture_prefix(object_key text) TO chally_system;

REVOKE ALL ON FUNCTION proofs.shows_details(sender uuid, challenge uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION proofs.shows_details(sender uuid, challenge uuid) TO chally_app;
GRANT ALL ON FUNCTION proofs.shows_details(sender uuid, challenge uuid) TO chally_system;

REVOKE ALL ON FUNCTION proofs.within_one_bit(key bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION proofs.within_one_bit(key bigint) TO chally_system;

GRANT SELECT ON TABLE challenges.standings TO chally_system;

GRANT UPDATE(points) ON TABLE challenges.standings TO chally_system;

GRANT UPDATE(current_streak) ON TABLE challenges.standings TO chally_system;

GRANT UPDATE(best_streak) ON TABLE challenges.standings TO chally_system;

GRANT UPDATE(accepted) ON TABLE challenges.standings TO chally_system;

GRANT UPDATE(missed) ON TABLE challenges.standings TO chally_system;

GRANT UPDATE(grace_spent) ON TABLE challenges.standings TO chally_system;

GRANT UPDATE(last_decided) ON TABLE challenges.standings TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE proofs.proofs TO chally_system;
GRANT SELECT ON TABLE proofs.proofs TO chally_app;

GRANT SELECT ON TABLE challenges.window_proofs TO chally_app;
GRANT SELECT ON TABLE challenges.window_proofs TO chally_system;

GRANT SELECT ON TABLE challenges.windows TO chally_system;
GRANT SELECT ON TABLE challenges.windows TO chally_app;

GRANT UPDATE(outcome) ON TABLE challenges.windows TO chally_system;

GRANT SELECT,INSERT,DELETE ON TABLE core.audit TO chally_system;

GRANT INSERT(at) ON TABLE core.audit TO chally_app;

GRANT INSERT(action) ON TABLE core.audit TO chally_app;

GRANT INSERT(actor_id) ON TABLE core.audit TO chally_app;

GRANT INSERT(user_id) ON TABLE core.audit TO chally_app;

GRANT INSERT(session_id) ON TABLE core.audit TO chally_app;

GRANT UPDATE(ip) ON TABLE core.audit TO chally_system;
GRANT INSERT(ip) ON TABLE core.audit TO chally_app;

GRANT UPDATE(user_agent) ON TABLE core.audit TO chally_system;
GRANT INSERT(user_agent) ON TABLE core.audit TO chally_app;

GRANT INSERT(request_id) ON TABLE core.audit TO chally_app;

GRANT INSERT(detail) ON TABLE core.audit TO chally_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE core.idempotency_keys TO chally_system;
GRANT SELECT,INSERT,UPDATE ON TABLE core.idempotency_keys TO chally_app;

GRANT SELECT ON TABLE core.limits TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE core.outbox TO chally_system;

GRANT SELECT,DELETE ON TABLE core.rate_limits TO chally_system;

GRANT SELECT,INSERT ON TABLE core.signing_keys TO chally_system;
GRANT SELECT ON TABLE core.signing_keys TO chally_app;

GRANT UPDATE(verifies_until) ON TABLE core.signing_keys TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.backup_codes TO chally_system;

GRANT SELECT ON TABLE identity.contacts TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.login_failures TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.mail_links TO chally_system;

GRANT SELECT,INSERT,DELETE ON TABLE identity.passkey_challenges TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.passkeys TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.pending_sign_ins TO chally_system;

GRANT SELECT ON TABLE identity.profiles TO chally_app;
GRANT SELECT ON TABLE identity.profiles TO chally_system;

GRANT SELECT,INSERT,DELETE ON TABLE identity.refresh_tokens TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.registrations TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.sessions TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE identity.totp TO chally_system;

GRANT SELECT ON TABLE notifications.participations TO chally_system;

GRANT SELECT ON TABLE notifications.windows TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE privacy.exports TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE proofs.fingerprints TO chally_system;

GRANT SELECT,INSERT,DELETE ON TABLE proofs.removals TO chally_system;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE proofs.scans TO chally_system;

REVOKE ALL ON FUNCTION notifications.plan_reminders(windows notifications.reminder_window[], at timestamp with time zone) FROM PUBLIC;
