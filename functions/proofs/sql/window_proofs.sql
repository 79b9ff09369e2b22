-- requires: proofs/proofs
--
-- What challenges needs to know of proofs. The name is challenges', because it reads the view and must not mention a
-- schema above its own; the text is here, because only proofs knows it. `security_invoker`: the policies of proofs
-- apply to the reader.
create or replace view challenges.window_proofs with (security_invoker = true) as
select participant_id, local_date, id, status, created_at
from proofs.proofs;

revoke all on challenges.window_proofs from chally_app, chally_system;
grant select on challenges.window_proofs to chally_app, chally_system;
