"""SQL that adds proofs and reads them."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from chally.db import Tx
from proofs.rules.review import ReviewDecision
from proofs.rules.status import EXPIRES_AFTER, ProofKind, ProofStatus, ShownStatus
from proofs.rules.verdict import Reason, ReviewedValue, Verdict


@dataclass(frozen=True, slots=True)
class ProofChallenge:
    """The challenge of a proof; `participant_id` is the actor's, None if they do not take part."""

    status: str
    title: str
    owner_id: UUID
    rules: dict[str, Any]
    is_owner: bool
    participant_id: UUID | None


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof; `opens_at` and `closes_at` are its window's at the time of the request."""

    id: UUID
    challenge_id: UUID
    participant_id: UUID
    user_id: UUID
    username: str
    local_date: date
    opens_at: datetime
    closes_at: datetime
    kind: ProofKind
    status: ProofStatus
    reasons: list[Reason]
    note: str | None
    value: str | float | None
    captured_at: datetime | None
    content_type: str | None
    content_length: int | None
    sha256: bytes | None
    stored_at: datetime | None
    decided_at: datetime | None
    created_at: datetime
    appeal: str | None
    appealed_at: datetime | None
    review: ReviewDecision | None
    review_reason: str | None
    reviewed_at: datetime | None
    match_id: UUID | None
    match_distance: int | None


# The sender and reviewers see its reasons, its capture time, and what was written in a review or an appeal. Other
# participants see the status, and the content of accepted proofs. Nobody sees more than the status of a proof whose
# sender's account is deleted: its content is hidden at once, and purged later.
_SHOWN = "(details.shown or p.status in ('accepted', 'replaced') and not u.is_deleted)"
_COLUMNS = f"""
    p.id, p.challenge_id, p.participant_id, p.user_id, u.username, p.local_date, p.opens_at, p.closes_at, p.kind,
    p.status, case when details.shown then p.reasons else '[]' end as reasons,
    case when {_SHOWN} then p.note end as note,
    case when {_SHOWN} then coalesce(to_jsonb(p.value_text), to_jsonb(p.value_number)) end as value,
    case when details.shown then p.captured_at end as captured_at, p.content_type, p.content_length,
    case when details.shown then p.sha256 end as sha256, p.stored_at, p.decided_at, p.created_at, p.appealed_at,
    p.review, p.reviewed_at,
    case when details.shown then p.appeal end as appeal,
    case when details.shown then p.review_reason end as review_reason,
    m.id as match_id, case when m.id is not null then p.matched_distance end as match_distance
"""
# The similar proof is shown to reviewers: moderators, and the owner if it belongs to the same challenge. A sender is
# never a reviewer of their own proof.
_JOINS = """
    join identity.profiles u on u.id = p.user_id
    -- `offset 0`: once a row, not once a column
    cross join lateral (
        select not u.is_deleted and proofs.shows_details(p.user_id, p.challenge_id) as shown offset 0
    ) as details
    left join proofs.proofs m on m.id = p.matched_proof_id and p.status = 'needs_review'
        and details.shown and p.user_id <> core.actor()
        and (core.moderates() or m.challenge_id = p.challenge_id)
"""


def find_challenge(tx: Tx, challenge_id: UUID) -> ProofChallenge | None:
    """Find a challenge if the actor can see it."""
    return tx.maybe(
        """
        select c.status, c.title, c.owner_id, c.rules, c.owner_id = core.actor() as is_owner, p.id as participant_id
        from challenges.challenges c
        left join challenges.participants p
            on p.challenge_id = c.id and p.user_id = core.actor() and p.left_at is null
        where c.id = %(id)s and c.status <> 'deleted'
          -- the condition of the challenges' policy, because this also runs as the system
          and (c.owner_id = core.actor() or c.visibility = 'public' and c.status <> 'draft' or p.id is not null)
        """,
        {"id": challenge_id},
        row=ProofChallenge,
    )


@dataclass(frozen=True, slots=True)
class ProofRequest:
    """The window for which the actor sends a proof, and their note."""

    challenge_id: UUID
    participant_id: UUID
    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str
    tzdata: str
    note: str | None


def add_photo(
    tx: Tx,
    request: ProofRequest,
    *,
    captured_at: datetime | None,
    content_type: str,
    content_length: int,
    sha256: bytes,
    object_key: str,
    now: datetime,
) -> Proof:
    """Add a photo of the actor that is about to be uploaded."""
    return tx.one(
        f"""
        with p as (
            insert into proofs.proofs (
                challenge_id, participant_id, user_id, local_date, opens_at, closes_at, timezone, tzdata, note,
                kind, captured_at,
                content_type, content_length, sha256, object_key, created_at
            ) values (
                %(challenge_id)s, %(participant_id)s, core.actor(), %(local_date)s, %(opens_at)s, %(closes_at)s,
                %(timezone)s, %(tzdata)s, %(note)s, 'photo', %(captured_at)s, %(content_type)s,
                %(content_length)s, %(sha256)s, %(object_key)s, %(now)s
            ) returning *
        )
        select {_COLUMNS} from p {_JOINS}
        """,
        {
            **_parameters(request),
            "captured_at": captured_at,
            "content_type": content_type,
            "content_length": content_length,
            "sha256": sha256,
            "object_key": object_key,
            "now": now,
        },
        row=Proof,
    )


def add_value(tx: Tx, request: ProofRequest, value: str | float, verdict: Verdict, *, now: datetime) -> Proof:
    """Add a text or a number of the actor, with its verdict."""
    is_text = isinstance(value, str)
    return tx.one(
        f"""
        with p as (
            insert into proofs.proofs (
                challenge_id, participant_id, user_id, local_date, opens_at, closes_at, timezone, tzdata, note,
                kind, value_text,
                value_number, status, reasons, created_at, decided_at
            ) values (
                %(challenge_id)s, %(participant_id)s, core.actor(), %(local_date)s, %(opens_at)s, %(closes_at)s,
                %(timezone)s, %(tzdata)s, %(note)s, %(kind)s, %(text)s, %(number)s, %(status)s, %(reasons)s,
                %(now)s, %(now)s
            ) returning *
        )
        select {_COLUMNS} from p {_JOINS}
        """,
        {
            **_parameters(request),
            "kind": "text" if is_text else "number",
            "text": value if is_text else None,
            "number": None if is_text else value,
            "status": verdict.status,
            "reasons": Jsonb(verdict.reasons),
            "now": now,
        },
        row=Proof,
    )


def _parameters(request: ProofRequest) -> dict[str, object]:
    return {
        "challenge_id": request.challenge_id,
        "participant_id": request.participant_id,
        "local_date": request.local_date,
        "opens_at": request.opens_at,
        "closes_at": request.closes_at,
        "timezone": request.timezone,
        "tzdata": request.tzdata,
        "note": request.note,
    }


def window_statuses(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> list[ShownStatus]:
    """The statuses of all proofs of a window."""
    return list(
        tx.value(
            """
            select coalesce(array_agg(
                case when p.status = 'awaiting_upload' and p.created_at <= %(now)s - %(expires_after)s
                     then 'expired' else p.status end
            ), '{}') from proofs.proofs p
            where p.participant_id = %(participant_id)s and p.local_date = %(local_date)s
            """,
            {
                "participant_id": participant_id,
                "local_date": local_date,
                "now": now,
                "expires_after": EXPIRES_AFTER,
            },
        )
    )


def list_reviewed_values(tx: Tx, participant_id: UUID, local_date: date) -> list[ReviewedValue]:
    """The texts and numbers of a participant that a person decided on, the newest decisions first, at most 500.

    `local_date`: of the window that `same_window` means.
    """
    return tx.all(
        """
        select p.id as proof_id, coalesce(to_jsonb(p.value_text), to_jsonb(p.value_number)) as value,
            p.local_date = %(local_date)s as same_window, p.review = 'reject' and p.status <> 'accepted' as rejected
        from proofs.proofs p
        where p.participant_id = %(participant_id)s and p.kind <> 'photo' and p.review is not null
        order by p.reviewed_at desc, p.id desc limit 500
        """,
        {"participant_id": participant_id, "local_date": local_date},
        row=ReviewedValue,
    )


def find_proof(tx: Tx, proof_id: UUID) -> Proof | None:
    """Find a proof if the actor can see it."""
    return tx.maybe(
        f"select {_COLUMNS} from proofs.proofs p {_JOINS} where p.id = %(id)s",
        {"id": proof_id},
        row=Proof,
    )


@dataclass(frozen=True, slots=True)
class CleanedPicture:
    """The cleaned picture of a proof; `shows_details`: the actor sent the proof or can review it.

    Pictures made before sizes were recorded have none.
    """

    status: ProofStatus
    key: str | None
    width: int | None
    height: int | None
    shows_details: bool


def find_picture(tx: Tx, proof_id: UUID) -> CleanedPicture | None:
    """Find the picture of a proof that the actor can see."""
    return tx.maybe(
        """
        select p.status, p.picture_key as key, p.picture_width as width, p.picture_height as height,
            proofs.shows_details(p.user_id, p.challenge_id) as shows_details
        from proofs.proofs p join identity.profiles u on u.id = p.user_id
        where p.id = %(id)s and not u.is_deleted
        """,
        {"id": proof_id},
        row=CleanedPicture,
    )


def stored_bytes(tx: Tx, since: datetime, now: datetime) -> int:
    """The bytes of the actor's photos since an instant: those in storage, and the uploads that have not expired."""
    bytes_: int = tx.value(
        """
        select coalesce(sum(p.content_length * greatest(1, versions.number)), 0)::bigint from proofs.proofs p
        cross join lateral (select count(*) as number from proofs.scans s where s.proof_id = p.id) as versions
        where p.user_id = core.actor() and p.kind = 'photo' and p.created_at > %(since)s
          and (p.status <> 'awaiting_upload' or p.created_at > %(now)s - %(expires_after)s)
        """,
        {"since": since, "now": now, "expires_after": EXPIRES_AFTER},
    )
    return bytes_


def list_proofs(
    tx: Tx,
    challenge_id: UUID,
    *,
    to_review: bool = False,
    before: UUID | None,
    offset: int,
    limit: int,
) -> list[Proof]:
    """List proofs, newest first: ids are in time order. `to_review`: only those that need a review."""
    return tx.all(
        f"""
        select {_COLUMNS} from proofs.proofs p {_JOINS}
        where p.challenge_id = %(challenge_id)s and (%(before)s::uuid is null or p.id < %(before)s)
          and (not %(to_review)s or p.status = 'needs_review' and not u.is_deleted)
        order by p.id desc offset %(offset)s limit %(limit)s
        """,
        {
            "challenge_id": challenge_id,
            "to_review": to_review,
            "before": before,
            "offset": offset,
            "limit": limit,
        },
        row=Proof,
    )
