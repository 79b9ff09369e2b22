create policy scans_owner on proofs.scans to chally_owner using (true);
create policy scans_system on proofs.scans to chally_system using (true);

revoke all on proofs.scans from chally_app, chally_system;
grant select, insert, update, delete on proofs.scans to chally_system;
