-- The release of the IANA time zone database that windows record (chally.zones.tzdata_version). It stands here, so that
-- the app's role cannot record another one. A test compares it with the installed package: after an update of tzdata
-- write the new release here.
create or replace function core.tzdata_release() returns text
language sql immutable parallel safe
return '2026f';

revoke all on function core.tzdata_release from public, chally_app, chally_system;
