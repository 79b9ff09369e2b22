-- What the schema holds on a person, by table. Where someone else acted on the account, a moderator say, their ip, user
-- agent and request are left out.
create or replace function core.export_person(person uuid) returns jsonb
language sql stable set search_path = ''
return jsonb_build_object(
    'audit', (
        select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
        from (
            select a.id, a.at, a.action, a.session_id, a.detail,
                a.user_id is not distinct from person as about_you,
                a.actor_id is not distinct from person as by_you,
                case when coalesce(a.actor_id, person) = person then a.ip end as ip,
                case when coalesce(a.actor_id, person) = person then a.user_agent end as user_agent,
                case when coalesce(a.actor_id, person) = person then a.request_id end as request_id
            from core.audit a where person in (a.user_id, a.actor_id)
        ) x
    ),
    'idempotency_keys', (
        select coalesce(jsonb_agg(to_jsonb(x) order by x.created_at), '[]')
        from (select k.key, k.status, k.created_at from core.idempotency_keys k where k.user_id = person) x
    ),
    'outbox', (
        select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
        from (
            select o.id, o.topic, o.payload ->> 'template' as template, o.created_at, o.due_at, o.attempts
            from core.outbox o
            where o.delivered_at is null and (
                o.payload ->> 'user_id' = person::text
                or lower(o.payload ->> 'to') = (select lower(u.email) from identity.users u where u.id = person)
            )
        ) x
    )
);

-- Runs before identity forgets the address, which is how mails are found.
create or replace function core.forget_person(person uuid) returns void
language sql set search_path = ''
begin atomic
    update core.audit set ip = null, user_agent = null
    where person in (user_id, actor_id) and (ip is not null or user_agent is not null);
    delete from core.idempotency_keys where user_id = person;
    delete from core.outbox
    where delivered_at is null and (
        payload ->> 'user_id' = person::text
        or lower(payload ->> 'to') = (select lower(u.email) from identity.users u where u.id = person)
    );
end;

revoke execute on function core.export_person, core.forget_person from public;
grant execute on function core.export_person, core.forget_person to chally_system;
