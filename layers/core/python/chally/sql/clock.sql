-- How far a function's clock may be from the database's. A function sends the instant of its request, so that a request
-- has one instant and tests can choose it. Tests replace this function by one that returns 'infinity'.
create or replace function core.clock_tolerance() returns interval
language sql stable parallel safe
return interval '5 minutes';

-- True if an instant that a function sends is the present; otherwise an error, also in a policy. So nobody acts in the
-- past or in the future, even with the app's role: limits, windows and the audit trail rely on it.
create or replace function core.check_present(at timestamptz) returns boolean
language plpgsql stable parallel safe set search_path = '' as $$
begin
    if at between now() - core.clock_tolerance() and now() + core.clock_tolerance() then
        return true;
    end if;
    raise exception 'the request is of %, and the database''s clock shows %: set the clocks right', at, now()
    using errcode = 'invalid_parameter_value';
end
$$;

revoke all on function core.clock_tolerance, core.check_present from public, chally_app, chally_system;
grant execute on function core.clock_tolerance, core.check_present to chally_app;
