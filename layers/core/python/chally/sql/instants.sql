-- The instants of an opening and a closing wall time in a zone: rules 1 and 4 of the windows. Postgres moves a time in
-- a gap forward and takes the second occurrence in an overlap, which is right for a closing. The first occurrence, for
-- an opening, is computed with the offset of the day before; a time outside an overlap then does not read back as
-- itself.
create or replace function core.instants(zone text, opens_wall timestamp, closes_wall timestamp,
    out opening timestamptz, out closing timestamptz)
language sql stable parallel safe
return (
    case when (opens_wall - (
            ((opens_wall at time zone zone) - interval '24 hours') at time zone zone
            - ((opens_wall at time zone zone) - interval '24 hours') at time zone 'UTC'
        )) at time zone 'UTC' at time zone zone = opens_wall
        then (opens_wall - (
            ((opens_wall at time zone zone) - interval '24 hours') at time zone zone
            - ((opens_wall at time zone zone) - interval '24 hours') at time zone 'UTC'
        )) at time zone 'UTC'
        else opens_wall at time zone zone end,
    closes_wall at time zone zone
);

revoke all on function core.instants from public, chally_app, chally_system;
grant execute on function core.instants to chally_app, chally_system;
