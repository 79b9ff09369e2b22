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
);

-- Nothing: a challenge is its participants' as well, and who took part, when and with what outcome is what
-- standings are made of. Who that was, identity forgets.
create or replace function challenges.forget_person(person uuid) returns void
language sql set search_path = ''
begin atomic
    select;
end;

revoke execute on function challenges.export_person, challenges.forget_person from public;
grant execute on function challenges.export_person, challenges.forget_person to chally_system;
