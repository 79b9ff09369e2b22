-- For every column that holds a time zone. One unknown name in a table would fail every statement that reads it along
-- with other rows. Here Postgres raises invalid_parameter_value for the writer instead. It would also read what is no
-- name of a zone, such as PST, +02:00 or EST5EDT,M3.2.0,M11.1.0, which Python cannot: names with a slash have capitals,
-- and all others are listed.
create or replace function core.check_timezone() returns trigger
language plpgsql set search_path = '' as $$
begin
    perform now() at time zone new.timezone;
    if new.timezone !~ '^[A-Z][A-Za-z]*(/[A-Z][A-Za-z0-9_+-]*)+$' and new.timezone not in (
            'CET', 'CST6CDT', 'Cuba', 'EET', 'EST', 'EST5EDT', 'Egypt', 'Eire', 'GB', 'GB-Eire',
            'GMT', 'GMT+0', 'GMT-0', 'GMT0', 'Greenwich', 'HST', 'Hongkong', 'Iceland', 'Iran',
            'Israel', 'Jamaica', 'Japan', 'Kwajalein', 'Libya', 'MET', 'MST', 'MST7MDT', 'NZ',
            'NZ-CHAT', 'Navajo', 'PRC', 'PST8PDT', 'Poland', 'Portugal', 'ROC', 'ROK', 'Singapore',
            'Turkey', 'UCT', 'UTC', 'Universal', 'W-SU', 'WET', 'Zulu'
        )
    then
        raise exception 'time zone "%" not recognized', new.timezone using errcode = 'invalid_parameter_value';
    end if;
    return new;
end
$$;

revoke all on function core.check_timezone from public, chally_app, chally_system;
