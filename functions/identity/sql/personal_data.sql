-- What the schema holds on a person, by table, without secrets.
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
);

-- The row itself stays, as a tombstone that nobody can sign in to: standings and challenges point to it.
-- The row of the account stays as a tombstone that nobody can sign in to: standings and challenges refer to it.
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
end;

-- What lies in the bucket: a key, or everything under a key that ends with a slash.
create or replace function identity.objects_of_person(person uuid) returns table (key text, name text)
language sql stable set search_path = ''
begin atomic
    select 'exports/' || e.id || '/', null::text from identity.exports e where e.user_id = person;
end;

revoke execute on function identity.export_person, identity.forget_person, identity.objects_of_person from public;
grant execute on function identity.export_person, identity.forget_person, identity.objects_of_person to chally_system;
