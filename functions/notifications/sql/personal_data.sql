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
);

create or replace function notifications.forget_person(person uuid) returns void
language sql set search_path = ''
begin atomic
    delete from notifications.reminders where user_id = person;
end;

revoke execute on function notifications.export_person, notifications.forget_person from public;
grant execute on function notifications.export_person, notifications.forget_person to chally_system;
