-- requires: challenges/words

-- Whether a challenge is in a runtime state; a null `state` matches all. Postgres inlines it, so indexes can be used.
create or replace function challenges.matches_state(
    state text, at timestamptz, status text, starts_at timestamptz, ends_at timestamptz
)
returns boolean
language sql immutable parallel safe
return case state
    when 'upcoming' then status = 'active' and starts_at > at
    when 'started' then status = 'active' and starts_at <= at and ends_at > at
    when 'ended' then status = 'active' and ends_at <= at
    else state is null or status = state
end;

-- The ids of public challenges that match `wanted`, newest first. It runs as the owner, because row-level security
-- would keep `@@` from its index and statistics; it returns only public challenges. Rare matches are looked up by the
-- index and sorted. Frequent ones are found by a scan from the newest on; `coalesce` hides the match from the planner,
-- which could otherwise take it for a rare one.
create or replace function challenges.find_public(
    wanted tsquery, state text, at timestamptz, before uuid, skip integer, quantity integer
)
returns setof uuid
language plpgsql stable security definer rows 25
set search_path = '' set plan_cache_mode = 'force_custom_plan' as $$
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

-- The release before this one, to which a deploy may roll back, searches by `discover`. The next one drops it,
-- `search_query`, the file `words` and the index challenges_words.
create or replace function challenges.search_query(q text) returns tsquery
language sql immutable parallel safe set search_path = ''
return (
    select coalesce(string_agg('''' || word || ''':*', ' & '), '')::tsquery
    from unnest(challenges.tokens(q)) as word
);

create or replace function challenges.discover(
    q text, state text, at timestamptz, before uuid, skip integer, quantity integer
)
returns setof uuid
language plpgsql stable security definer rows 25
set search_path = '' set plan_cache_mode = 'force_custom_plan' as $$
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

revoke all on function challenges.search_query, challenges.matches_state, challenges.find_public,
    challenges.discover
from public, chally_app, chally_system;
grant execute on function challenges.find_public, challenges.discover to chally_app;
