"""SQL of receipts: what is known of a proof, but for who sent it."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chally.db import Tx
from proofs.rules import Decision, Kind, Reason, Status


@dataclass(frozen=True, slots=True)
class Known:
    """A proof, as far as a receipt tells of it. `sha256` is that of a photo, `value` a text or a number; neither is
    there once its participant has left. `stored_at`: when the upload reached storage, or the value was sent.
    """

    id: UUID
    challenge_id: UUID
    participant_id: UUID
    kind: Kind
    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str | None
    tzdata: str | None
    sha256: bytes | None
    value: str | float | None
    created_at: datetime
    stored_at: datetime | None
    decided_at: datetime | None
    status: Status
    reasons: list[Reason]
    review: Decision | None
    reviewed_at: datetime | None


def known(tx: Tx, proof_id: UUID) -> Known | None:
    """What is known of a proof, for who sent it and who may review it: it says why, and by which clocks."""
    return tx.maybe(
        """
        select p.id, p.challenge_id, p.participant_id, p.kind, p.local_date, p.opens_at, p.closes_at, p.timezone,
               p.tzdata, p.created_at, p.decided_at, p.status, p.reasons, p.review, p.reviewed_at,
               case p.kind when 'photo' then p.stored_at else p.created_at end as stored_at,
               case when u.is_here then p.sha256 end as sha256,
               case when u.is_here then coalesce(to_jsonb(p.value_text), to_jsonb(p.value_number)) end as value
        from proofs.proofs p
        -- what forgetting somebody leaves in its columns was never sent
        join lateral (
            select f.username <> 'deleted_' || right(f.id::text, 12) as is_here
            from identity.profiles f where f.id = p.user_id
        ) u on true
        where p.id = %(id)s
          and (
            p.user_id = core.actor() or core.moderates() or exists (
                select from challenges.challenges c where c.id = p.challenge_id and c.owner_id = core.actor()
            )
          )
        """,
        {"id": proof_id},
        row=Known,
    )
