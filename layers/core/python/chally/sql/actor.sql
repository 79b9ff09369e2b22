-- The user in whose name the transaction runs; null when there is none.
create or replace function core.actor() returns uuid
language sql stable parallel safe
-- once a setting was used in a session it reads '' afterwards, not NULL
return nullif(current_setting('chally.actor', true), '')::uuid;

-- Whether the actor is a moderator or admin who signed in with a second factor. core.identify() sets it.
create or replace function core.moderates() returns boolean
language sql stable parallel safe
return coalesce(current_setting('chally.moderates', true), '') = 'on';

revoke all on function core.actor, core.moderates from public, chally_app, chally_system;
grant execute on function core.actor, core.moderates to chally_app, chally_system;

create policy signing_keys_owner on core.signing_keys to chally_owner using (true);
create policy signing_keys_system on core.signing_keys to chally_system using (true);
create policy signing_keys_public on core.signing_keys for select to chally_app using (true);

revoke all on core.signing_keys from chally_app, chally_system;
grant select, insert, update (verifies_until) on core.signing_keys to chally_system;
grant select on core.signing_keys to chally_app;
