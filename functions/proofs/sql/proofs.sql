-- requires: core/actor, challenges/membership

-- Whether the actor may see a proof that `sender` sent to `challenge`: it is their own, they moderate, or they take
-- part and the roster is shown to them.
create or replace function proofs.is_visible(sender uuid, challenge uuid) returns boolean
language sql stable parallel safe
return sender = core.actor()
    or core.moderates()
    or challenges.takes_part(challenge) and challenges.shows_roster(challenge);

-- Whether the actor sees all of such a proof: its reasons, its receipt, and its picture whatever the verdict. Its
-- sender does, and those who can review it: the owner of the challenge, and moderators. Other participants see what was
-- accepted.
create or replace function proofs.shows_details(sender uuid, challenge uuid) returns boolean
language sql stable parallel safe
return sender = core.actor()
    or core.moderates()
    or exists (select from challenges.challenges c where c.id = challenge and c.owner_id = core.actor());

revoke all on function proofs.is_visible, proofs.shows_details from public, chally_app, chally_system;
grant execute on function proofs.is_visible, proofs.shows_details to chally_app, chally_system;

create policy proofs_owner on proofs.proofs to chally_owner using (true);
create policy proofs_system on proofs.proofs to chally_system using (true);
create policy proofs_visible on proofs.proofs for select to chally_app
using (proofs.is_visible(user_id, challenge_id));

drop policy if exists proofs_request on proofs.proofs;

revoke all on proofs.proofs from chally_app, chally_system;
grant select, insert, update, delete on proofs.proofs to chally_system;
-- The app's role only reads: proofs and their verdicts are written as chally_system, after the checks of the route.
grant select on proofs.proofs to chally_app;
