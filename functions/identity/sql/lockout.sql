create policy login_failures_owner on identity.login_failures to chally_owner using (true);
create policy login_failures_system on identity.login_failures to chally_system using (true);

revoke all on identity.login_failures from chally_app, chally_system;
grant select, insert, update, delete on identity.login_failures to chally_system;
