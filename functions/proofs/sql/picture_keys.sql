-- The key prefix of the cleaned pictures of all versions of an upload (proofs.storage.save_picture). Who may see a
-- picture is decided in proofs.sql.
create or replace function proofs.picture_prefix(object_key text) returns text
language sql immutable strict parallel safe
return 'pictures/' || substring(object_key from length('uploads/') + 1) || '/';

revoke all on function proofs.picture_prefix from public, chally_app, chally_system;
grant execute on function proofs.picture_prefix to chally_system;
