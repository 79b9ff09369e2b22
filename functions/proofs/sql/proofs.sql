-- requires: core/actor, challenges/membership

create policy proofs_owner on proofs.proofs to chally_owner using (true);
create policy proofs_system on proofs.proofs to chally_system using (true);
create policy proofs_visible on proofs.proofs for select to chally_app using (
    user_id = core.actor()
    or core.moderates()
    or challenges.takes_part(challenge_id) and challenges.shows_roster(challenge_id)
);
-- A participant requests a proof; only the job decides it, so the app's role has no update.
create policy proofs_request on proofs.proofs for insert to chally_app with check (
    user_id = core.actor()
    and exists (
        select from challenges.participants p
        where p.id = participant_id and p.user_id = core.actor() and p.challenge_id = proofs.challenge_id
          and p.left_at is null
    )
);

revoke all on proofs.proofs from chally_app, chally_system;
grant select, insert, update, delete on proofs.proofs to chally_system;
grant select, insert (
    id, challenge_id, participant_id, user_id, local_date, opens_at, closes_at, kind, note, captured_at,
    content_type, content_length, sha256, object_key, created_at
) on proofs.proofs to chally_app;
