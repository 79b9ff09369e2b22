-- For every column that holds a time zone. One unknown name in a table would fail every statement that reads it along
-- with other rows. Here Postgres raises invalid_parameter_value for the writer instead.
create or replace function core.check_timezone() returns trigger
language plpgsql set search_path = '' as $$
begin
    perform now() at time zone new.timezone;
    return new;
end
$$;

revoke all on function core.check_timezone from public, chally_app, chally_system;
