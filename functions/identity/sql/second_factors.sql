create policy pending_sign_ins_owner on identity.pending_sign_ins to chally_owner using (true);
create policy pending_sign_ins_system on identity.pending_sign_ins to chally_system using (true);

revoke all on identity.pending_sign_ins from chally_app, chally_system;
grant select, insert, update, delete on identity.pending_sign_ins to chally_system;

create policy totp_owner on identity.totp to chally_owner using (true);
create policy totp_system on identity.totp to chally_system using (true);

revoke all on identity.totp from chally_app, chally_system;
grant select, insert, update, delete on identity.totp to chally_system;

create policy backup_codes_owner on identity.backup_codes to chally_owner using (true);
create policy backup_codes_system on identity.backup_codes to chally_system using (true);

revoke all on identity.backup_codes from chally_app, chally_system;
grant select, insert, update, delete on identity.backup_codes to chally_system;
