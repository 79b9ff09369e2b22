-- requires: core/actor, core/clock

-- The app's role can only add rows in its actor's name, of the present. The purge clears the ip and user agent of deleted people, and
-- deletes rows past their retention.

create policy audit_owner on core.audit to chally_owner using (true);
create policy audit_system on core.audit to chally_system using (true);
create policy audit_own on core.audit for insert to chally_app
with check (actor_id = core.actor() and core.check_present(at));

revoke all on core.audit from chally_app, chally_system;
grant select, insert, delete, update (ip, user_agent) on core.audit to chally_system;
grant insert (at, action, actor_id, user_id, session_id, ip, user_agent, request_id, detail) on core.audit to chally_app;
