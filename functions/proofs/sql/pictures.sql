-- Where the cleaned pictures of all versions of an upload lie: see proofs.storage.keep_picture.
create or replace function proofs.pictures_of(object_key text) returns text
language sql immutable strict parallel safe
return 'pictures/' || substring(object_key from length('uploads/') + 1) || '/';

revoke execute on function proofs.pictures_of from public;
grant execute on function proofs.pictures_of to chally_system;
