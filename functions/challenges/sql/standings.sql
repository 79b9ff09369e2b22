-- requires: challenges/membership

create or replace function challenges.add_standing() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into challenges.standings (participant_id, challenge_id) values (new.id, new.challenge_id);
    return null;
end
$$;

-- `present` copies whether the participant takes part, so that one index finds the ranked standings.
create or replace function challenges.update_presence() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    update challenges.standings s set present = new.left_at is null where s.participant_id = new.id;
    return null;
end
$$;

-- A page of the standings, best first; empty if the actor may not see the roster. This is checked once, where a policy
-- would check it for every row. Only the rank of the first row is counted, the others follow from it. A custom plan for
-- each call, because a generic one would keep the condition on `after_points` even where it is null.
create or replace function challenges.ranking(
    challenge uuid, after_points integer, after_participant uuid, skip integer, quantity integer
)
returns table (
    rank bigint, participant_id uuid, username text, points integer, current_streak integer, best_streak integer,
    accepted integer, missed integer
)
language plpgsql stable security definer rows 25
set search_path = '' set plan_cache_mode = 'force_custom_plan' as $$
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

revoke all on function challenges.add_standing, challenges.update_presence, challenges.ranking
from public, chally_app, chally_system;
grant execute on function challenges.ranking to chally_app;

create trigger participants_standing after insert on challenges.participants
for each row execute function challenges.add_standing();

-- deferred, to lock standings last: a rejoining participant may move their windows first, which are locked before
-- standings
create constraint trigger participants_present after update of left_at on challenges.participants
deferrable initially deferred
for each row when ((old.left_at is null) <> (new.left_at is null)) execute function challenges.update_presence();

create policy standings_owner on challenges.standings to chally_owner using (true);
create policy standings_system on challenges.standings to chally_system using (true);

drop policy if exists standings_roster on challenges.standings;

revoke all on challenges.standings from chally_app, chally_system;
grant select, update (points, current_streak, best_streak, accepted, missed, grace_spent, last_decided)
on challenges.standings to chally_system;
