-- requires: core/zones

create trigger registrations_timezone before insert or update of timezone on identity.registrations
for each row execute function core.check_timezone();

create policy registrations_owner on identity.registrations to chally_owner using (true);
create policy registrations_system on identity.registrations to chally_system using (true);

revoke all on identity.registrations from chally_app, chally_system;
grant select, insert, update, delete on identity.registrations to chally_system;
