"""Challenges, who takes part, everybody's windows, and the standings."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        create table challenges.challenges (
            id uuid constraint challenges_pkey primary key default uuidv7(),
            owner_id uuid not null constraint challenges_owner_fkey references identity.users (id),
            title text not null constraint challenges_title_length check (length(title) between 1 and 120),
            description text not null default ''
                constraint challenges_description_length check (length(description) <= 2000),
            status text not null default 'draft' constraint challenges_status_known
                check (status in ('draft', 'active', 'paused', 'canceled', 'archived', 'deleted')),
            visibility text not null default 'code' constraint challenges_visibility_known
                check (visibility in ('public', 'private', 'code')),
            invite_code text not null constraint challenges_invite_code_key unique,
            timezone text not null,
            starts_at timestamptz not null,
            ends_at timestamptz not null,
            max_participants integer not null default 100
                constraint challenges_max_participants_range check (max_participants between 1 and 10000),
            participant_count integer not null default 0,
            late_join boolean not null default false,
            roster_visibility text not null default 'participants' constraint challenges_roster_visibility_known
                check (roster_visibility in ('participants', 'owner', 'everyone')),
            rules jsonb not null,
            created_at timestamptz not null default now(),
            constraint challenges_period check (starts_at < ends_at),
            constraint challenges_full check (participant_count between 0 and max_participants)
        )
    """)
    op.execute("create index challenges_owner on challenges.challenges (owner_id)")

    op.execute("""
        create table challenges.participants (
            id uuid constraint participants_pkey primary key default uuidv7(),
            challenge_id uuid not null
                constraint participants_challenge_fkey references challenges.challenges (id) on delete cascade,
            user_id uuid not null constraint participants_user_fkey references identity.users (id),
            timezone text not null,
            joined_at timestamptz not null,
            -- since when this zone counts: later than joined_at once it was changed
            timezone_since timestamptz not null,
            constraint participants_one_per_user unique (challenge_id, user_id)
        )
    """)
    op.execute("create index participants_user on challenges.participants (user_id)")
    op.execute("create index participants_roster on challenges.participants (challenge_id, joined_at, id)")

    op.execute("""
        create table challenges.windows (
            participant_id uuid not null
                constraint windows_participant_fkey references challenges.participants (id) on delete cascade,
            local_date date not null,
            opens_at timestamptz not null,
            closes_at timestamptz not null,
            timezone text not null,
            tzdata text not null,
            outcome text constraint windows_outcome_known check (outcome in ('accepted', 'missed', 'excused')),
            constraint windows_pkey primary key (participant_id, local_date),
            constraint windows_not_empty check (opens_at < closes_at)
        )
    """)
    op.execute("create index windows_undecided on challenges.windows (closes_at) where outcome is null")

    op.execute("""
        create table challenges.standings (
            participant_id uuid constraint standings_pkey primary key
                constraint standings_participant_fkey references challenges.participants (id) on delete cascade,
            challenge_id uuid not null
                constraint standings_challenge_fkey references challenges.challenges (id) on delete cascade,
            points integer not null default 0,
            current_streak integer not null default 0,
            best_streak integer not null default 0,
            accepted integer not null default 0,
            missed integer not null default 0
        )
    """)
    op.execute("create index standings_ranking on challenges.standings (challenge_id, points desc, participant_id)")

    for table in ("challenges", "participants"):
        op.execute(f"""
            create trigger {table}_timezone before insert or update of timezone on challenges.{table}
            for each row execute function core.check_timezone()
        """)

    for table in ("challenges", "participants", "windows", "standings"):
        op.execute(f"alter table challenges.{table} enable row level security")
        op.execute(f"alter table challenges.{table} force row level security")
        op.execute(f"create policy {table}_owner on challenges.{table} to chally_owner using (true)")
        op.execute(f"create policy {table}_system on challenges.{table} to chally_system using (true)")
        op.execute(f"grant select, insert, update, delete on challenges.{table} to chally_system")

    # Policies of challenges and participants look at each other. These read as the owner, which ends the recursion.
    op.execute("""
        create function challenges.takes_part(challenge uuid) returns boolean
        language sql stable security definer set search_path = ''
        return exists (
            select from challenges.participants
            where participants.challenge_id = challenge and participants.user_id = core.actor()
        )
    """)
    op.execute("""
        create function challenges.shows_roster(challenge uuid) returns boolean
        language sql stable security definer set search_path = ''
        return exists (
            select from challenges.challenges c
            where c.id = challenge
              and c.status <> 'deleted'
              and (c.owner_id = core.actor()
                   or c.roster_visibility <> 'owner' and challenges.takes_part(c.id)
                   or c.roster_visibility = 'everyone' and c.visibility = 'public' and c.status <> 'draft')
        )
    """)
    # The place is counted where it is taken, in the same transaction and under the row's lock: no burst can
    # pass the cap, and a transition cannot slip between the check and the insert.
    op.execute("""
        create function challenges.count_participant() returns trigger
        language plpgsql security definer set search_path = '' as $$
        declare
            challenge challenges.challenges;
        begin
            if tg_op = 'DELETE' then
                update challenges.challenges set participant_count = participant_count - 1 where id = old.challenge_id;
                return null;
            end if;
            update challenges.challenges set participant_count = participant_count + 1
            where id = new.challenge_id returning * into challenge;
            if challenge.status <> 'active' and challenge.owner_id <> new.user_id then
                raise exception 'the challenge is %', challenge.status
                using errcode = 'check_violation', constraint = 'challenges_not_active';
            end if;
            insert into challenges.standings (participant_id, challenge_id) values (new.id, new.challenge_id);
            return null;
        end
        $$
    """)
    op.execute("""
        create trigger participants_counted after insert or delete on challenges.participants
        for each row execute function challenges.count_participant()
    """)
    op.execute("""
        revoke execute on function
            challenges.takes_part, challenges.shows_roster, challenges.count_participant
        from public
    """)
    op.execute("grant execute on function challenges.takes_part, challenges.shows_roster to chally_app, chally_system")

    # Whoever knows the invite code may see the challenge: the join sets it for its own transaction.
    op.execute("""
        create policy challenges_visible on challenges.challenges for select to chally_app using (
            owner_id = core.actor() -- also once deleted: an owner's update must leave a row that the owner can see
            or status <> 'deleted' and (
                visibility = 'public' and status <> 'draft'
                or invite_code = nullif(current_setting('chally.invite_code', true), '')
                or challenges.takes_part(id)
            )
        )
    """)
    op.execute("""
        create policy challenges_create on challenges.challenges for insert to chally_app
        with check (owner_id = core.actor())
    """)
    op.execute("""
        create policy challenges_edit on challenges.challenges for update to chally_app
        using (owner_id = core.actor()) with check (owner_id = core.actor())
    """)
    op.execute("""
        grant select, insert (
            owner_id, title, description, status, visibility, invite_code, timezone, starts_at, ends_at,
            max_participants, late_join, roster_visibility, rules, created_at
        ), update (status) on challenges.challenges to chally_app
    """)

    op.execute("""
        create policy participants_roster on challenges.participants for select to chally_app
        using (user_id = core.actor() or challenges.shows_roster(challenge_id))
    """)
    # The sub-select runs under the reader's own policies: only a challenge one can see can be joined.
    op.execute("""
        create policy participants_join on challenges.participants for insert to chally_app with check (
            user_id = core.actor()
            and exists (select from challenges.challenges c where c.id = challenge_id)
        )
    """)
    op.execute("""
        create policy participants_move on challenges.participants for update to chally_app
        using (user_id = core.actor()) with check (user_id = core.actor())
    """)
    op.execute("""
        grant select, insert (challenge_id, user_id, timezone, joined_at, timezone_since),
        update (timezone, timezone_since)
        on challenges.participants to chally_app
    """)

    op.execute("""
        create policy windows_own on challenges.windows to chally_app
        using (exists (select from challenges.participants p where p.id = participant_id and p.user_id = core.actor()))
        with check (
            exists (select from challenges.participants p where p.id = participant_id and p.user_id = core.actor())
        )
    """)
    op.execute("""
        grant select, insert (participant_id, local_date, opens_at, closes_at, timezone, tzdata),
        update (opens_at, closes_at, timezone, tzdata) on challenges.windows to chally_app
    """)

    op.execute("""
        create policy standings_roster on challenges.standings for select to chally_app
        using (challenges.shows_roster(challenge_id))
    """)
    op.execute("grant select on challenges.standings to chally_app")
    op.execute("grant usage on schema challenges to chally_app, chally_system")
