create policy removals_owner on proofs.removals to chally_owner using (true);
create policy removals_system on proofs.removals to chally_system using (true);

revoke all on proofs.removals from chally_app, chally_system;
grant select, insert, delete on proofs.removals to chally_system;
