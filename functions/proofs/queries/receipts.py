"""SQL of receipts: the facts of a proof, without its sender."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chally.db import Tx
from proofs.rules.review import ReviewDecision
from proofs.rules.status import ProofKind, ProofStatus
from proofs.rules.verdict import Reason


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """The facts of a proof that its receipt states.

    `sha256` is of a photo; `value` is a text or a number. Both are None once its participant's account is deleted.
    `stored_at`: when the upload reached storage, or the value was sent.
    """

    id: UUID
    challenge_id: UUID
    participant_id: UUID
    kind: ProofKind
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
    status: ProofStatus
    reasons: list[Reason]
    review: ReviewDecision | None
    reviewed_at: datetime | None


def find_receipt_row(tx: Tx, proof_id: UUID) -> ReceiptRow | None:
    """Find a proof if the actor sent it or can review it."""
    return tx.maybe(
        """
        select p.id, p.challenge_id, p.participant_id, p.kind, p.local_date, p.opens_at, p.closes_at, p.timezone,
               p.tzdata, p.created_at, p.decided_at, p.status, p.reasons, p.review, p.reviewed_at,
               case p.kind when 'photo' then p.stored_at else p.created_at end as stored_at,
               -- the placeholders that a purged account leaves in these columns were never sent
               case when not u.is_deleted then p.sha256 end as sha256,
               case when not u.is_deleted then coalesce(to_jsonb(p.value_text), to_jsonb(p.value_number)) end as value
        from proofs.proofs p join identity.profiles u on u.id = p.user_id
        where p.id = %(id)s and proofs.shows_details(p.user_id, p.challenge_id)
        """,
        {"id": proof_id},
        row=ReceiptRow,
    )
