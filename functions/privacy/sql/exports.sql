create policy exports_owner on privacy.exports to chally_owner using (true);
create policy exports_system on privacy.exports to chally_system using (true);

revoke all on privacy.exports from chally_app, chally_system;
grant select, insert, update, delete on privacy.exports to chally_system;
