-- requires: challenges/windows
--
-- What notifications needs to know of challenges. The names are notifications', because it reads them and must not
-- mention a schema above its own; the text is here, because only challenges knows it. `security_invoker`: the policies
-- of the underlying tables apply to the reader.

-- Every participation, while it lasts and afterwards.
create or replace view notifications.participations with (security_invoker = true) as
select p.id as participant_id, p.left_at is null as is_present, c.status = 'active' as is_active, c.starts_at, c.ends_at
from challenges.participants p
join challenges.challenges c on c.id = p.challenge_id;

-- The stored windows of challenges with reminders.
create or replace view notifications.windows with (security_invoker = true) as
select w.participant_id, w.local_date, p.user_id, w.opens_at, w.closes_at, schedule.remind as before_close_minutes
from challenges.windows w
join challenges.participants p on p.id = w.participant_id
join challenges.challenges c on c.id = p.challenge_id
cross join lateral challenges.schedule(c.rules) as schedule
where schedule.remind is not null;

revoke all on notifications.participations, notifications.windows from chally_app, chally_system;
grant select on notifications.participations, notifications.windows to chally_system;
