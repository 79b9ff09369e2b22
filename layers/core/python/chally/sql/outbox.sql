-- requires: core/actor

-- The app's role cannot read or write the outbox: it holds other people's mails, and what is in it is sent in our name.

create policy outbox_owner on core.outbox to chally_owner using (true);
create policy outbox_system on core.outbox to chally_system using (true);

revoke all on core.outbox from chally_app, chally_system;
grant select, insert, update, delete on core.outbox to chally_system;
