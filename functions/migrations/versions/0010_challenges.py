"""Coming and going: places that are kept, counted last, and capped; codes that change; what strangers may find."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# What keeps people out at an instant, whatever they may have been told before. The cap is the table's own constraint.
CHECK_ENTRY = """
    create function challenges.check_entry(challenge challenges.challenges, at timestamptz) returns void
    language plpgsql immutable set search_path = '' as $$
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
    $$
"""

# Places are counted in the transaction that takes or leaves them, and in its last moment: the challenge's row, which
# everybody who joins must write, is held for the commit alone. Under its lock it is looked at once more: no burst can
# pass the cap, and nothing that the owner does can slip in between.
COUNT = """
    create or replace function challenges.count_participant() returns trigger
    language plpgsql security definer set search_path = '' as $$
    declare
        was_in constant boolean := tg_op <> 'INSERT' and old.left_at is null;
        is_in constant boolean := tg_op <> 'DELETE' and new.left_at is null;
        challenge challenges.challenges;
    begin
        if was_in = is_in then
            return null;
        end if;
        update challenges.challenges c
        set participant_count = c.participant_count + case when is_in then 1 else -1 end
        where c.id = coalesce(new.challenge_id, old.challenge_id) returning c.* into challenge;
        if is_in and challenge.owner_id <> new.user_id then
            perform challenges.check_entry(challenge, coalesce(new.returned_at, new.joined_at));
        end if;
        return null;
    end
    $$
"""

STANDING = """
    create function challenges.add_standing() returns trigger
    language plpgsql security definer set search_path = '' as $$
    begin
        insert into challenges.standings (participant_id, challenge_id) values (new.id, new.challenge_id);
        return null;
    end
    $$
"""

# Called in a statement that reads the challenge: counts who came in this transaction before its commit would, so that
# the answer has the right number and a refusal comes here.
COUNTED = """
    create function challenges.counted(challenge uuid) returns integer
    language plpgsql set search_path = '' as $$
    begin
        set constraints challenges.participants_counted immediate;
        return (select c.participant_count from challenges.challenges c where c.id = challenge);
    end
    $$
"""

# A place for the actor: a new one, or the one they left. No row where there is nothing that they may see. The owner's
# first call is a part of making the challenge.
JOIN = """
    create function challenges.join(challenge uuid, code text, zone text, at timestamptz)
    returns table (challenge_id uuid, participant_id uuid, timezone text, came boolean)
    language plpgsql security definer set search_path = '' as $$
    declare
        person constant uuid := core.actor();
        c challenges.challenges;
        place challenges.participants;
    begin
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
        -- Of one person, one at a time: they press twice, and what they may have is counted. Of a challenge, none
        -- while its owner edits the schedule: windows are made of it.
        perform pg_advisory_xact_lock(hashtextextended('challenges of ' || person, 0)),
                pg_advisory_xact_lock_shared(hashtextextended('schedule of ' || c.id, 0));
        select p.* into place from challenges.participants p where p.challenge_id = c.id and p.user_id = person;
        if place.left_at is not null then
            -- the challenge before the place, as in `depart`
            perform from challenges.challenges x where x.id = c.id for no key update;
            select p.* into place from challenges.participants p where p.id = place.id for no key update;
        end if;
        select x.* into c from challenges.challenges x where x.id = c.id;

        if place.id is not null and place.left_at is null then
            if c.owner_id = person then
                raise exception 'the owner is in'
                using errcode = 'check_violation', constraint = 'challenges_owner_already_in';
            end if;
            return query select c.id, place.id, place.timezone, false;
            return;
        end if;
        if c.owner_id <> person then
            if code is null and c.visibility <> 'public' or code <> c.invite_code or c.status = 'deleted' then
                return;
            end if;
            if place.barred_code is not null and (code is null or place.barred_code >= c.invite_code_number) then
                raise exception 'the owner removed them'
                using errcode = 'check_violation', constraint = 'challenges_removed';
            end if;
            perform challenges.check_entry(c, at);
            if c.participant_count >= c.max_participants then
                raise exception 'no place left' using errcode = 'check_violation', constraint = 'challenges_full';
            end if;
        end if;
        if (
            select count(*) from challenges.participants p join challenges.challenges x on x.id = p.challenge_id
            where p.user_id = person and p.left_at is null
              and x.status in ('draft', 'active', 'paused') and x.ends_at > at
        ) >= 200 then
            raise exception 'they take part in 200'
            using errcode = 'check_violation', constraint = 'challenges_quota_joined';
        end if;

        if place.id is null then
            insert into challenges.participants as p (challenge_id, user_id, timezone, joined_at, timezone_since)
            select c.id, u.id, coalesce(zone, u.timezone), at, at from identity.users u where u.id = person
            returning p.* into place;
        else
            update challenges.participants p set left_at = null, barred_code = null, returned_at = at
            where p.id = place.id;
            perform notifications.resume(place.id, place.left_at);
        end if;
        return query select c.id, place.id, place.timezone, true;
    end
    $$
"""

# The place is kept, with its dates and what was missed: whoever comes back finds it as it would be had they stayed, and
# leaving erases nothing. Always in this order: the challenge, the place, its reminders.
DEPART = """
    create function challenges.depart(challenge uuid, participant uuid, barred boolean, at timestamptz) returns void
    language plpgsql security definer set search_path = '' as $$
    declare
        code_number integer;
        leaves boolean;
    begin
        select c.invite_code_number into code_number from challenges.challenges c where c.id = challenge
        for no key update;
        update challenges.participants p
        set left_at = coalesce(p.left_at, at),
            barred_code = case when barred then code_number else p.barred_code end
        where p.id = participant
        returning old.left_at is null into leaves;
        if leaves then
            perform notifications.silence(participant, at);
        end if;
    end
    $$
"""

# True, also again; false where they never were in.
LEAVE = """
    create function challenges.leave(challenge uuid, at timestamptz) returns boolean
    language plpgsql security definer set search_path = '' as $$
    declare
        place uuid;
    begin
        select p.id into place from challenges.participants p
        where p.challenge_id = challenge and p.user_id = core.actor();
        if place is null then
            return false;
        end if;
        if exists (select from challenges.challenges c where c.id = challenge and c.owner_id = core.actor()) then
            raise exception 'the owner stays'
            using errcode = 'check_violation', constraint = 'challenges_owner_cannot_leave';
        end if;
        perform challenges.depart(challenge, place, false, at);
        return true;
    end
    $$
"""

# Whom the actor removed from their own challenge; null where there is no such participant.
REMOVE = """
    create function challenges.remove(challenge uuid, participant uuid, at timestamptz) returns uuid
    language plpgsql security definer set search_path = '' as $$
    declare
        person uuid;
    begin
        select p.user_id into person
        from challenges.participants p join challenges.challenges c on c.id = p.challenge_id
        where p.id = participant and c.id = challenge and c.owner_id = core.actor() and c.status <> 'deleted';
        if person = core.actor() then
            raise exception 'the owner stays'
            using errcode = 'check_violation', constraint = 'challenges_owner_cannot_leave';
        end if;
        if person is not null then
            perform challenges.depart(challenge, participant, true, at);
        end if;
        return person;
    end
    $$
"""

# Within the policy that lets a challenge be made: true, or it raises. One at a time of a person, as in `join`.
CHECK_OWNED = """
    create function challenges.check_owned() returns boolean
    language plpgsql security definer set search_path = '' as $$
    begin
        perform pg_advisory_xact_lock(hashtextextended('challenges of ' || core.actor(), 0));
        if (
            select count(*) from challenges.challenges c
            where c.owner_id = core.actor() and c.status not in ('archived', 'deleted')
        ) >= 50 then
            raise exception 'they own 50'
            using errcode = 'check_violation', constraint = 'challenges_quota_owned';
        end if;
        return true;
    end
    $$
"""

# Words are what lies between spaces, punctuation and symbols, in any script and whatever the server's locale is.
TOKENS = """
    create function challenges.tokens(content text) returns text[]
    language sql immutable parallel safe set search_path = ''
    return (
        select coalesce(array_agg(distinct left(word, 60)), '{}')
        from regexp_split_to_table(
            lower(content collate pg_catalog.pg_c_utf8), '[[:space:][:punct:][:cntrl:]]+' collate pg_catalog.pg_c_utf8
        ) as word
        where word <> ''
    )
"""

# What it costs decides between its index and a walk from the newest on: about 30 microseconds, three pages' worth.
WORDS = """
    create function challenges.words(title text, description text) returns tsvector
    language sql immutable parallel safe cost 2000 set search_path = ''
    return array_to_tsvector(challenges.tokens(title || ' ' || description))
"""

# Inlined where it is called, so that indexes are seen through it.
IS_IN = """
    create function challenges.is_in(
        state text, at timestamptz, status text, starts_at timestamptz, ends_at timestamptz
    )
    returns boolean
    language sql immutable parallel safe
    return case state
        when 'upcoming' then status = 'active' and starts_at > at
        when 'started' then status = 'active' and starts_at <= at and ends_at > at
        when 'ended' then status = 'active' and ends_at <= at
        else state is null or status = state
    end
"""

# The ids of public challenges, newest first, that hold a word beginning with each of `q`. Policies would keep `@@`
# away from its index, and its statistics; what this shows is public. What is rare is looked up and sorted. Of what is
# not, a walk from the newest on soon finds a page: behind `coalesce` the planner sees no match that could be rare.
DISCOVER = """
    create function challenges.discover(
        q text, state text, at timestamptz, before uuid, skip integer, quantity integer
    )
    returns setof uuid
    language plpgsql stable security definer rows 25
    set search_path = '' set plan_cache_mode = 'force_custom_plan' as $$
    declare
        wanted constant tsquery := challenges.query(q);
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
                  and challenges.is_in(state, at, c.status, c.starts_at, c.ends_at)
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
          and challenges.is_in(state, at, c.status, c.starts_at, c.ends_at)
          and (before is null or c.id < before)
        order by c.id desc offset skip limit quantity;
    end
    $$
"""
QUERY = """
    create function challenges.query(q text) returns tsquery
    language sql immutable parallel safe set search_path = ''
    return (
        select coalesce(string_agg('''' || word || ''':*', ' & '), '')::tsquery
        from unnest(challenges.tokens(q)) as word
    )
"""

SILENCE = """
    create function notifications.silence(participant uuid, at timestamptz) returns void
    language sql set search_path = ''
    begin atomic
        update notifications.reminders set cleared_at = at
        where participant_id = participant and sent_at is null and cleared_at is null;
    end
"""
# What `silence` cleared at that instant, and what is still to come of it.
RESUME = """
    create function notifications.resume(participant uuid, silenced_at timestamptz) returns void
    language sql set search_path = ''
    begin atomic
        update notifications.reminders set cleared_at = null
        where participant_id = participant and cleared_at = silenced_at and sent_at is null;
    end
"""

EXPORT = """
    create or replace function challenges.export_person(person uuid) returns jsonb
    language sql stable set search_path = ''
    return jsonb_build_object(
        'challenges', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
            from (
                select c.id, c.title, c.description, c.status, c.visibility, c.invite_code, c.timezone,
                    c.starts_at, c.ends_at, c.max_participants, c.participant_count, c.late_join,
                    c.roster_visibility, c.rules, c.created_at
                from challenges.challenges c where c.owner_id = person
            ) x
        ),
        'participants', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
            from (
                select p.id, p.challenge_id, c.title, p.timezone, p.joined_at, p.timezone_since, p.left_at,
                    p.returned_at, p.barred_code is not null as removed
                from challenges.participants p join challenges.challenges c on c.id = p.challenge_id
                where p.user_id = person
            ) x
        ),
        'windows', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.opens_at), '[]')
            from (
                select w.participant_id, w.local_date, w.opens_at, w.closes_at, w.timezone, w.tzdata, w.outcome
                from challenges.windows w join challenges.participants p on p.id = w.participant_id
                where p.user_id = person
            ) x
        ),
        'standings', (
            select coalesce(jsonb_agg(to_jsonb(x) order by x.participant_id), '[]')
            from (
                select s.participant_id, s.challenge_id, s.points, s.current_streak, s.best_streak, s.accepted,
                    s.missed
                from challenges.standings s join challenges.participants p on p.id = s.participant_id
                where p.user_id = person
            ) x
        )
    )
"""


def upgrade() -> None:
    op.execute("""
        insert into core.limits (name, quantity, period, per, counts) values
            ('join', 10, '1 hour', 'account', 'joins, by wrong codes too'),
            ('challenge_create', 20, '1 hour', 'account', 'challenges made')
    """)
    op.execute("""
        alter table challenges.challenges
            -- which one it is of those the challenge has had
            add column invite_code_number integer not null default 1
    """)
    op.execute("""
        alter table challenges.participants
            add column left_at timestamptz,
            add column returned_at timestamptz,
            -- the number of the code that was good when the owner removed them: only a later one lets them in again
            add column barred_code integer
    """)

    op.execute("""
        create or replace function challenges.takes_part(challenge uuid) returns boolean
        language sql stable security definer set search_path = ''
        return exists (
            select from challenges.participants p
            where p.challenge_id = challenge and p.user_id = core.actor() and p.left_at is null
        )
    """)
    op.execute("drop trigger participants_counted on challenges.participants")
    for function in (CHECK_ENTRY, COUNT, STANDING, COUNTED, SILENCE, RESUME, JOIN, DEPART, LEAVE, REMOVE, CHECK_OWNED):
        op.execute(function)
    for function in (TOKENS, WORDS, QUERY, IS_IN, DISCOVER, EXPORT):
        op.execute(function)
    op.execute("""
        create constraint trigger participants_counted
        after insert or delete or update of left_at on challenges.participants
        deferrable initially deferred
        for each row execute function challenges.count_participant()
    """)
    op.execute("""
        create trigger participants_standing after insert on challenges.participants
        for each row execute function challenges.add_standing()
    """)
    op.execute("""
        revoke execute on function
            challenges.check_entry, challenges.add_standing, challenges.counted, challenges.join, challenges.depart,
            challenges.leave, challenges.remove, challenges.check_owned, challenges.tokens, challenges.words,
            challenges.query, challenges.is_in, challenges.discover, notifications.silence, notifications.resume
        from public
    """)
    op.execute("""
        grant execute on function
            challenges.counted, challenges.join, challenges.leave, challenges.remove, challenges.check_owned,
            challenges.discover
        to chally_app
    """)

    # of an index: whoever writes a row calls them
    op.execute("grant execute on function challenges.tokens, challenges.words to chally_app, chally_system")

    # A code is shown to `join`, and to nothing else.
    op.execute("""
        alter policy challenges_visible on challenges.challenges using (
            owner_id = core.actor() -- also once deleted: an owner's update must leave a row that the owner can see
            or status <> 'deleted' and (visibility = 'public' and status <> 'draft' or challenges.takes_part(id))
        )
    """)
    op.execute("""
        alter policy challenges_create on challenges.challenges
        with check (owner_id = core.actor() and challenges.check_owned())
    """)
    op.execute("""
        grant update (
            title, description, visibility, roster_visibility, late_join, max_participants, timezone, starts_at,
            ends_at, rules, invite_code, invite_code_number
        ) on challenges.challenges to chally_app
    """)
    op.execute("""
        alter policy participants_roster on challenges.participants
        using (user_id = core.actor() or left_at is null and challenges.shows_roster(challenge_id))
    """)
    op.execute("drop policy participants_join on challenges.participants")
    op.execute("drop policy participants_move on challenges.participants")
    op.execute("revoke insert on challenges.participants from chally_app")
    op.execute("""
        alter policy proofs_request on proofs.proofs with check (
            user_id = core.actor()
            and exists (
                select from challenges.participants p
                where p.id = participant_id and p.user_id = core.actor() and p.challenge_id = proofs.challenge_id
                  and p.left_at is null
            )
        )
    """)
