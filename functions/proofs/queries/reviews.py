"""SQL of reviews, appeals and removals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chally.db import Tx
from proofs.rules.review import ReviewDecision
from proofs.rules.status import ProofStatus
from proofs.rules.verdict import Reason


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """A proof that this transaction has locked, with what a review needs of its challenge.

    `rejected_before`: the sender's earlier proof with the same picture, which a person rejected. `is_deleted`: the
    challenge was deleted, or the sender's account.
    """

    id: UUID
    challenge_id: UUID
    title: str
    participant_id: UUID
    user_id: UUID
    owner_id: UUID
    local_date: date
    closes_at: datetime
    status: ProofStatus
    reasons: list[Reason]
    can_be_seen: bool
    object_key: str | None
    picture_key: str | None
    decided_at: datetime | None
    appealed_at: datetime | None
    review: ReviewDecision | None
    reviewed_by: UUID | None
    matched_elsewhere: bool
    rejected_before: UUID | None
    is_deleted: bool
    max_per_window: int


def lock_challenge(tx: Tx, proof_id: UUID) -> None:
    """Take the challenge's lock of `duplicates.lock_for_verdict`: verdicts and reviews both count a window's proofs."""
    tx.run(
        """
        select pg_advisory_xact_lock(hashtextextended('proofs of ' || p.challenge_id, 0))
        from proofs.proofs p where p.id = %(id)s
        """,
        {"id": proof_id},
    )


def list_moderators(tx: Tx) -> list[UUID]:
    """The moderators and admins, at most twenty."""
    return list(
        tx.value(
            """
            select coalesce(array_agg(id), '{}') from (
                select u.id from identity.users u
                where u.role in ('moderator', 'admin') and u.deleted_at is null order by u.id limit 20
            ) as moderators
            """,
            {},
        )
    )


def lock_proof(tx: Tx, proof_id: UUID) -> ReviewRow | None:
    """Find a proof if the actor can see it, and lock it until the end of the transaction.

    It runs as the system, to which the policies show everything, so it asks `proofs.is_visible` itself.
    """
    return tx.maybe(
        """
        select p.id, p.challenge_id, c.title, p.participant_id, p.user_id, c.owner_id, p.local_date, p.closes_at,
               p.status, p.reasons, p.kind <> 'photo' or p.picture_key is not null as can_be_seen, p.object_key,
               p.picture_key, p.decided_at, p.appealed_at, p.review, p.reviewed_by,
               exists (
                   select from proofs.proofs m where m.id = p.matched_proof_id and m.challenge_id <> p.challenge_id
               ) as matched_elsewhere,
               (
                   select m.id from proofs.proofs m
                   where m.id = p.matched_proof_id and m.user_id = p.user_id and m.challenge_id = p.challenge_id
                     and m.review = 'reject' and m.status in ('rejected', 'needs_review')
               ) as rejected_before,
               c.status = 'deleted' or u.is_deleted as is_deleted,
               coalesce((c.rules #>> '{proof,max_per_window}')::integer, 1) as max_per_window
        from proofs.proofs p
        join challenges.challenges c on c.id = p.challenge_id
        join identity.profiles u on u.id = p.user_id
        where p.id = %(id)s and proofs.is_visible(p.user_id, p.challenge_id)
        for no key update of p
        """,
        {"id": proof_id},
        row=ReviewRow,
    )


def other_statuses(tx: Tx, proof: ReviewRow) -> list[ProofStatus]:
    """The statuses of the other proofs of its window."""
    return list(
        tx.value(
            """
            select coalesce(array_agg(p.status), '{}') from proofs.proofs p
            where p.participant_id = %(participant_id)s and p.local_date = %(local_date)s and p.id <> %(id)s
            """,
            {"participant_id": proof.participant_id, "local_date": proof.local_date, "id": proof.id},
        )
    )


def set_review(
    tx: Tx, proof_id: UUID, status: ProofStatus, decision: ReviewDecision, reason: str, *, reviewer: UUID, now: datetime
) -> None:
    tx.run(
        """
        update proofs.proofs set status = %(status)s, review = %(decision)s, review_reason = %(reason)s,
            reviewed_by = %(reviewer)s, reviewed_at = %(now)s, decided_at = %(now)s,
            -- accepting it overrules them
            reasons = case when %(decision)s = 'accept' then '[]' else reasons end
        where id = %(id)s
        """,
        {
            "id": proof_id,
            "status": status,
            "decision": decision,
            "reason": reason,
            "reviewer": reviewer,
            "now": now,
        },
    )


def set_appeal(tx: Tx, proof_id: UUID, message: str, now: datetime) -> None:
    tx.run(
        """
        update proofs.proofs set status = 'needs_review', appeal = %(message)s, appealed_at = %(now)s
        where id = %(id)s
        """,
        {"id": proof_id, "message": message, "now": now},
    )


def delete_proof(tx: Tx, proof: ReviewRow, now: datetime) -> None:
    """Delete the proof, and queue its objects in storage for deletion by a job."""
    tx.run(
        """
        with gone as (delete from proofs.proofs where id = %(id)s returning object_key)
        insert into proofs.removals (key, added_at)
        -- each version of the upload can have a picture
        select key, %(now)s
        from gone cross join lateral (values (object_key), (proofs.picture_prefix(object_key))) as objects (key)
        where key is not null
        on conflict do nothing
        """,
        {"id": proof.id, "now": now},
    )


def list_removals(tx: Tx, before: datetime, limit: int, *, without: Sequence[str] = ()) -> list[str]:
    """The keys of objects that were queued for deletion before an instant, the oldest first, except `without`."""
    return list(
        tx.value(
            """
            select coalesce(array_agg(key), '{}')
            from (
                select key from proofs.removals where added_at <= %(before)s and key <> all (%(without)s::text[])
                order by added_at limit %(limit)s
            ) as oldest
            """,
            {"before": before, "limit": limit, "without": list(without)},
        )
    )


def delete_removal(tx: Tx, key: str) -> None:
    tx.run("delete from proofs.removals where key = %(key)s", {"key": key})
