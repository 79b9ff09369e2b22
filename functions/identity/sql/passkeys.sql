create policy passkeys_owner on identity.passkeys to chally_owner using (true);
create policy passkeys_system on identity.passkeys to chally_system using (true);

revoke all on identity.passkeys from chally_app, chally_system;
grant select, insert, update, delete on identity.passkeys to chally_system;

create policy passkey_challenges_owner on identity.passkey_challenges to chally_owner using (true);
create policy passkey_challenges_system on identity.passkey_challenges to chally_system using (true);

revoke all on identity.passkey_challenges from chally_app, chally_system;
grant select, insert, delete on identity.passkey_challenges to chally_system;
