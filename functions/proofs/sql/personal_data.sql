-- Where the cleaned pictures of all versions of an upload lie: see proofs.storage.keep_picture.
create or replace function proofs.pictures_of(object_key text) returns text
language sql immutable strict parallel safe
return 'pictures/' || substring(object_key from length('uploads/') + 1) || '/';

create or replace function proofs.export_person(person uuid) returns jsonb
language sql stable set search_path = ''
return jsonb_build_object(
    'proofs', (
        select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
        from (
            select p.id, p.challenge_id, p.participant_id, p.local_date, p.opens_at, p.closes_at, p.kind,
                p.status, p.reasons, p.note, p.captured_at, p.content_type, p.content_length,
                encode(p.sha256, 'hex') as sha256, p.value_text, p.value_number, p.stored_at, p.decided_at,
                p.created_at, p.timezone, p.tzdata, p.appeal, p.appealed_at, p.review, p.review_reason,
                p.reviewed_at
            from proofs.proofs p where p.user_id = person
        ) x
    ),
    'fingerprints', (
        select coalesce(jsonb_agg(to_jsonb(x) order by x.proof_id), '[]')
        from (
            select f.proof_id, f.challenge_id, encode(f.sha256, 'hex') as sha256, f.pdq::text as pdq, f.quality
            from proofs.fingerprints f where f.user_id = person
        ) x
    ),
    'scans', (
        select coalesce(jsonb_agg(to_jsonb(x) order by x.proof_id, x.stored_at), '[]')
        from (
            select s.proof_id, s.stored_at, s.infected, s.signature
            from proofs.scans s join proofs.proofs p on p.id = s.proof_id
            where p.user_id = person
        ) x
    ),
    'reviews', (
        select coalesce(jsonb_agg(to_jsonb(x) order by x.reviewed_at), '[]')
        from (
            select p.id as proof_id, p.review, p.review_reason, p.reviewed_at
            from proofs.proofs p where p.reviewed_by = person
        ) x
    )
);

-- The verdict stays, without what was proven with, and without what others wrote about it.
create or replace function proofs.forget_person(person uuid) returns void
language sql set search_path = ''
begin atomic
    delete from proofs.fingerprints where user_id = person;
    delete from proofs.scans
    where proof_id in (select p.id from proofs.proofs p where p.user_id = person);
    update proofs.proofs set
        note = null, captured_at = null, timezone = null,
        -- their sentences quote what was sent, and when a photo was taken
        reasons = (
            select coalesce(jsonb_agg(jsonb_build_object('code', reason ->> 'code', 'detail', '')), '[]')
            from jsonb_array_elements(reasons) as reason
        ),
        sha256 = case kind when 'photo' then decode(repeat('00', 32), 'hex') end,
        object_key = case kind when 'photo' then 'forgotten/' || id end,
        value_text = case kind when 'text' then '' end,
        value_number = case kind when 'number' then 0 end,
        picture_key = null, appeal = case when appeal is not null then '' end, review_reason = null,
        sequencer = null
    where user_id = person;
    update proofs.proofs set reviewed_by = null, review_reason = null where reviewed_by = person;
end;

create or replace function proofs.objects_of_person(person uuid) returns table (key text, name text)
language sql stable set search_path = ''
begin atomic
    select p.object_key,
        'photos/' || p.local_date || '_' || p.id || case p.content_type
            when 'image/jpeg' then '.jpg' when 'image/png' then '.png' when 'image/webp' then '.webp'
            else '.bin' end
    from proofs.proofs p
    where p.user_id = person and p.kind = 'photo' and p.object_key not like 'forgotten/%'
    union all
    select p.picture_key, 'pictures/' || p.local_date || '_' || p.id || '.jpg'
    from proofs.proofs p where p.user_id = person and p.picture_key is not null
    union all
    select proofs.pictures_of(p.object_key), null
    from proofs.proofs p
    where p.user_id = person and p.kind = 'photo' and p.object_key not like 'forgotten/%';
end;

revoke execute on function
    proofs.pictures_of, proofs.export_person, proofs.forget_person, proofs.objects_of_person
from public;
grant execute on function
    proofs.pictures_of, proofs.export_person, proofs.forget_person, proofs.objects_of_person
to chally_system;
