"""Personal data of proofs: see `chally.personal_data`."""

from uuid import UUID

from chally.db import Tx
from chally.personal_data import StoredObject, TableRows, select_tables

_EXPORT = {
    "proofs": """
        select id, challenge_id, participant_id, local_date, opens_at, closes_at, kind, status, reasons, note,
            captured_at, content_type, content_length, encode(sha256, 'hex') as sha256, value_text, value_number,
            stored_at, decided_at, created_at, timezone, tzdata, appeal, appealed_at, review, review_reason,
            reviewed_at, picture_width, picture_height
        from proofs.proofs where user_id = %(user_id)s order by id
    """,
    "fingerprints": """
        select proof_id, challenge_id, encode(sha256, 'hex') as sha256, pdq::text as pdq, quality
        from proofs.fingerprints where user_id = %(user_id)s order by proof_id
    """,
    "scans": """
        select s.proof_id, s.stored_at, s.infected, s.signature
        from proofs.scans s join proofs.proofs p on p.id = s.proof_id
        where p.user_id = %(user_id)s order by s.proof_id, s.stored_at
    """,
    "reviews": """
        select id as proof_id, review, review_reason, reviewed_at
        from proofs.proofs where reviewed_by = %(user_id)s order by reviewed_at
    """,
}


def export(tx: Tx, user_id: UUID) -> TableRows:
    """Return the proofs with their verdicts, fingerprints and scans, and the user's reviews of other people's."""
    return select_tables(tx, _EXPORT, {"user_id": user_id})


def objects(tx: Tx, user_id: UUID) -> list[StoredObject]:
    """List the user's uploads, and the cleaned pictures made of them."""
    return tx.all(
        """
        select object_key as key,
            'photos/' || local_date || '_' || id || case content_type
                when 'image/jpeg' then '.jpg' when 'image/png' then '.png' when 'image/webp' then '.webp'
                when 'image/heic' then '.heic' when 'image/heif' then '.heic'
                else '.bin' end as name
        from proofs.proofs where user_id = %(user_id)s and kind = 'photo' and object_key not like 'forgotten/%%'
        union all
        select picture_key, 'pictures/' || local_date || '_' || id || '.jpg'
        from proofs.proofs where user_id = %(user_id)s and picture_key is not null
        union all
        select proofs.picture_prefix(object_key), null
        from proofs.proofs where user_id = %(user_id)s and kind = 'photo' and object_key not like 'forgotten/%%'
        """,
        {"user_id": user_id},
        row=StoredObject,
    )


def forget(tx: Tx, user_id: UUID) -> None:
    """Erase what was sent and what others wrote about it. The verdicts stay, for standings."""
    params = {"user_id": user_id}
    tx.run("delete from proofs.fingerprints where user_id = %(user_id)s", params)
    tx.run(
        "delete from proofs.scans where proof_id in (select id from proofs.proofs where user_id = %(user_id)s)", params
    )
    # the details of reasons quote what was sent, and when a photo was taken
    tx.run(
        """
        update proofs.proofs set
            note = null, captured_at = null, timezone = null,
            reasons = (
                select coalesce(jsonb_agg(jsonb_build_object('code', reason ->> 'code', 'detail', '')), '[]')
                from jsonb_array_elements(reasons) as reason
            ),
            sha256 = case kind when 'photo' then decode(repeat('00', 32), 'hex') end,
            object_key = case kind when 'photo' then 'forgotten/' || id end,
            value_text = case kind when 'text' then '' end,
            value_number = case kind when 'number' then 0 end,
            picture_key = null, picture_width = null, picture_height = null,
            appeal = case when appeal is not null then '' end, review_reason = null,
            sequencer = null
        where user_id = %(user_id)s
        """,
        params,
    )
    tx.run("update proofs.proofs set reviewed_by = null, review_reason = null where reviewed_by = %(user_id)s", params)
