"""SQL of what happens to a proof after its verdict. One function, one statement."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from chally.db import Tx
from proofs.rules import Decision, Reason, Status


@dataclass(frozen=True, slots=True)
class Judged:
    """A proof that this transaction holds, and how the actor stands to it."""

    id: UUID
    challenge_id: UUID
    title: str
    participant_id: UUID
    user_id: UUID
    owner_id: UUID
    local_date: date
    closes_at: datetime
    status: Status
    reasons: list[Reason]
    can_be_seen: bool
    object_key: str | None
    picture_key: str | None
    decided_at: datetime | None
    appealed_at: datetime | None
    reviewed_by: UUID | None
    matched_elsewhere: bool
    max_per_window: int


def serialise(tx: Tx, proof_id: UUID) -> None:
    """One at a time with the verdicts of its challenge (`duplicates.serialise`): each counts what a window has."""
    tx.run(
        """
        select pg_advisory_xact_lock(hashtextextended('proofs of ' || p.challenge_id, 0))
        from proofs.proofs p where p.id = %(id)s
        """,
        {"id": proof_id},
    )


def moderators(tx: Tx) -> list[UUID]:
    """Who looks after the club, at most twenty of them."""
    return list(
        tx.value(
            """
            select coalesce(array_agg(id), '{}') from (
                select u.id from identity.users u
                where u.role in ('moderator', 'admin') and u.deleted_at is null order by u.id limit 20
            ) as them
            """,
            {},
        )
    )


def hold(tx: Tx, proof_id: UUID) -> Judged | None:
    """The proof, if the actor may see it, held until the end of the transaction.

    It is asked with the system's rights, and so says what the policy `proofs_visible` says.
    """
    return tx.maybe(
        """
        select p.id, p.challenge_id, c.title, p.participant_id, p.user_id, c.owner_id, p.local_date, p.closes_at,
               p.status, p.reasons, p.kind <> 'photo' or p.picture_key is not null as can_be_seen, p.object_key,
               p.picture_key, p.decided_at, p.appealed_at, p.reviewed_by,
               exists (
                   select from proofs.proofs m where m.id = p.matched_proof_id and m.challenge_id <> p.challenge_id
               ) as matched_elsewhere,
               coalesce((c.rules #>> '{proof,max_per_window}')::integer, 1) as max_per_window
        from proofs.proofs p join challenges.challenges c on c.id = p.challenge_id
        where p.id = %(id)s
          and (
            p.user_id = core.actor() or core.moderates()
            or challenges.takes_part(p.challenge_id) and challenges.shows_roster(p.challenge_id)
          )
        for no key update of p
        """,
        {"id": proof_id},
        row=Judged,
    )


def others(tx: Tx, proof: Judged) -> list[Status]:
    """What became of the other proofs of its window."""
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
    tx: Tx, proof_id: UUID, status: Status, decision: Decision, reason: str, *, reviewer: UUID, now: datetime
) -> None:
    tx.run(
        """
        update proofs.proofs set status = %(status)s, review = %(decision)s, review_reason = %(reason)s,
            reviewed_by = %(reviewer)s, reviewed_at = %(now)s, decided_at = %(now)s,
            -- what spoke against it was answered
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


def remove(tx: Tx, proof: Judged, now: datetime) -> None:
    """Forget the proof; a job deletes its objects from storage."""
    tx.run(
        """
        with gone as (delete from proofs.proofs where id = %(id)s returning object_key)
        insert into proofs.removals (key, added_at)
        -- each of its versions may have a picture
        select key, %(now)s
        from gone cross join lateral (values (object_key), (proofs.pictures_of(object_key))) as named (key)
        where key is not null
        on conflict do nothing
        """,
        {"id": proof.id, "now": now},
    )


def removals(tx: Tx, before: datetime, limit: int) -> list[str]:
    """Objects to be deleted from storage that were named before an instant, the oldest first."""
    return list(
        tx.value(
            """
            select coalesce(array_agg(key), '{}')
            from (
                select key from proofs.removals where added_at <= %(before)s order by added_at limit %(limit)s
            ) as oldest
            """,
            {"before": before, "limit": limit},
        )
    )


def removed(tx: Tx, key: str) -> None:
    tx.run("delete from proofs.removals where key = %(key)s", {"key": key})
