-- requires: core/actor, core/zones

-- What other contexts may show of a person. The view reads with its owner's rights, so that a roster can name people
-- whose rows the reader may not see. The name of a deleted account is hidden at once, and other contexts hide what it
-- sent (`is_deleted`).
create or replace view identity.profiles as
select id, case when deleted_at is null then username else 'deleted_' || right(id::text, 12) end as username,
    deleted_at is not null as is_deleted
from identity.users;

-- How to reach a person, for the mailer only. A deleted account gets no mail.
create or replace view identity.contacts as
select id, email, username, timezone, email_verified_at is not null as verified, wants_reminders,
    quiet_from, quiet_to, quiet_since
from identity.users where deleted_at is null;

revoke all on identity.profiles from chally_app, chally_system;
grant select on identity.profiles to chally_app, chally_system;

revoke all on identity.contacts from chally_app, chally_system;
grant select on identity.contacts to chally_system;

create trigger users_timezone before insert or update of timezone on identity.users
for each row execute function core.check_timezone();

create policy users_owner on identity.users to chally_owner using (true);
create policy users_system on identity.users to chally_system using (true);
create policy users_self on identity.users for select to chally_app using (id = core.actor());

revoke all on identity.users from chally_app, chally_system;
grant select, insert, update on identity.users to chally_system;
grant select (
    id, email, username, timezone, role, email_verified_at, created_at, wants_reminders, deleted_at, quiet_from,
    quiet_to
) on identity.users to chally_app;
