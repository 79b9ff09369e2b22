create policy mail_links_owner on identity.mail_links to chally_owner using (true);
create policy mail_links_system on identity.mail_links to chally_system using (true);

revoke all on identity.mail_links from chally_app, chally_system;
grant select, insert, update, delete on identity.mail_links to chally_system;
