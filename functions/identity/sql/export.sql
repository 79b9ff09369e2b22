create policy exports_owner on identity.exports to chally_owner using (true);
create policy exports_system on identity.exports to chally_system using (true);

revoke all on identity.exports from chally_app, chally_system;
grant select, insert, update, delete on identity.exports to chally_system;
