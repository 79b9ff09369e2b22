"""SQL of uploads that reached storage: the proof of an object, and its verdict."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from chally.db import Tx
from proofs.queries.scans import UploadVersion
from proofs.rules.submission import MAX_VERSIONS
from proofs.rules.verdict import Verdict

# The verdict is not final, and the event is about a newer version of the object than the last verdict. Sequencers are
# hexadecimal; the shorter of two is padded on the right
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).
_UNDECIDED = """
    p.status in ('awaiting_upload', 'processing', 'rejected') and p.appealed_at is null and p.reviewed_at is null and (
        p.sequencer is null or rpad(p.sequencer, 64, '0') collate "C" < rpad(%(sequencer)s, 64, '0') collate "C"
    )
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A proof whose upload is in storage and waits for its verdict, with its challenge's rules.

    `timezone` is its participant's, as when the window was made; `account_timezone` is that of their account now.
    """

    id: UUID
    challenge_id: UUID
    title: str
    owner_id: UUID
    participant_id: UUID
    user_id: UUID
    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str
    account_timezone: str
    content_type: str
    rules: dict[str, Any]


def mark_arrived(tx: Tx, upload: UploadVersion) -> Arrival | None:
    """Mark the proof of an object as arrived. None if the object has no proof, or this version has a verdict already.

    Also None once `MAX_VERSIONS` others were uploaded: the URL is valid for ten minutes, and each verdict costs time.
    """
    return tx.maybe(
        f"""
        update proofs.proofs p
        set status = case p.status when 'awaiting_upload' then 'processing' else p.status end
        from challenges.challenges c, challenges.participants a, identity.users u
        where p.object_key = %(object_key)s and c.id = p.challenge_id and a.id = p.participant_id and u.id = p.user_id
          and {_UNDECIDED}
          and %(versions)s > (
              select count(*) from proofs.scans s where s.proof_id = p.id and s.version_id <> %(version)s
          )
        returning p.id, p.challenge_id, c.title, c.owner_id, p.participant_id, p.user_id, p.local_date, p.opens_at,
            p.closes_at, p.content_type, c.rules,
            -- Changing the zone stores the windows that have opened, with the old zone. A window in the challenge's
            -- zone does not have the participant's.
            coalesce((
                select w.timezone from challenges.windows w
                where w.participant_id = p.participant_id and w.local_date = p.local_date
                  and c.rules #>> '{{schedule,scope}}' is distinct from 'challenge_tz'
            ), a.timezone) as timezone,
            u.timezone as account_timezone
        """,
        {
            "object_key": upload.key,
            "sequencer": upload.sequencer,
            "version": upload.version,
            "versions": MAX_VERSIONS,
        },
        row=Arrival,
    )


def mark_awaiting_upload(tx: Tx, proof_id: UUID) -> None:
    """The upload was deleted: its proof waits for another one until it expires."""
    tx.run(
        "update proofs.proofs set status = 'awaiting_upload' where id = %(id)s and status = 'processing'",
        {"id": proof_id},
    )


def save_verdict(
    tx: Tx,
    proof_id: UUID,
    verdict: Verdict,
    upload: UploadVersion,
    *,
    picture_key: str | None = None,
    picture_size: tuple[int, int] | None = None,
    match_id: UUID | None = None,
    match_distance: int | None = None,
    now: datetime,
) -> bool:
    """Write the verdict; return False if the proof has a final or a newer one by now."""
    decided = tx.count(
        f"""
        update proofs.proofs p set status = %(status)s, reasons = %(reasons)s, sequencer = %(sequencer)s,
            stored_at = %(stored_at)s, decided_at = %(now)s, picture_key = %(picture_key)s,
            picture_width = %(picture_width)s, picture_height = %(picture_height)s,
            matched_proof_id = %(match_id)s, matched_distance = %(match_distance)s
        where p.id = %(id)s and {_UNDECIDED}
        """,
        {
            "id": proof_id,
            "status": verdict.status,
            "reasons": Jsonb(verdict.reasons),
            "sequencer": upload.sequencer,
            "stored_at": upload.stored_at,
            "picture_key": picture_key,
            "picture_width": picture_size[0] if picture_size else None,
            "picture_height": picture_size[1] if picture_size else None,
            "match_id": match_id,
            "match_distance": match_distance,
            "now": now,
        },
    )
    return decided > 0
