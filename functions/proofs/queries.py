"""All SQL of proofs. One function, one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from chally.db import Tx
from proofs.rules import DISCARDED_QUALITY, DUPLICATE_DISTANCE, Reason, Status, UsedBefore, Verdict


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a proof needs to know of its challenge; `participant_id` is the reader's own, where they take part."""

    status: str
    rules: dict[str, Any]
    is_owner: bool
    participant_id: UUID | None


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof as it is kept; `opens_at` and `closes_at` are those of its window when it was asked for."""

    id: UUID
    challenge_id: UUID
    participant_id: UUID
    user_id: UUID
    username: str
    local_date: date
    opens_at: datetime
    closes_at: datetime
    kind: str
    status: Status
    reasons: list[Reason]
    note: str | None
    captured_at: datetime | None
    content_type: str
    content_length: int
    sha256: bytes
    stored_at: datetime | None
    decided_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Arrival:
    """A proof whose upload is in storage and waits for its verdict, with its challenge's rules.

    `timezone`: the one that its participant's clocks show.
    """

    id: UUID
    challenge_id: UUID
    participant_id: UUID
    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str
    content_type: str
    rules: dict[str, Any]


_COLUMNS = """
    p.id, p.challenge_id, p.participant_id, p.user_id, u.username, p.local_date, p.opens_at, p.closes_at, p.kind,
    p.status, p.reasons, p.note, p.captured_at, p.content_type, p.content_length, p.sha256, p.stored_at, p.decided_at,
    p.created_at
"""
# Not final yet, and the event is of a newer version of the object than the one decided last. Sequencers are
# hexadecimal; the shorter of two is padded on the right
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).
_UNDECIDED = """
    p.status in ('awaiting_upload', 'processing', 'rejected') and (
        p.sequencer is null or rpad(p.sequencer, 64, '0') collate "C" < rpad(%(sequencer)s, 64, '0') collate "C"
    )
"""
_OTHER_WINDOW = "(p.participant_id, p.local_date) <> (%(participant_id)s, %(local_date)s)"
# Fingerprint f and any variant of another picture are at most `distance` bits apart, and that means something.
_SAME_PICTURE = """
    f.quality > %(discarded_quality)s and exists (
        select from unnest(%(variants)s::text[]::bit(256)[]) as variant
        where bit_count(f.pdq # variant) <= %(distance)s
    )
"""


def challenge(tx: Tx, challenge_id: UUID) -> Challenge | None:
    """The challenge, if the reader may see it."""
    return tx.maybe(
        """
        select c.status, c.rules, c.owner_id = core.actor() as is_owner, p.id as participant_id
        from challenges.challenges c
        left join challenges.participants p
            on p.challenge_id = c.id and p.user_id = core.actor() and p.left_at is null
        where c.id = %(id)s and c.status <> 'deleted'
        """,
        {"id": challenge_id},
        row=Challenge,
    )


def add(
    tx: Tx,
    *,
    challenge_id: UUID,
    participant_id: UUID,
    local_date: date,
    opens_at: datetime,
    closes_at: datetime,
    note: str | None,
    captured_at: datetime | None,
    content_type: str,
    content_length: int,
    sha256: bytes,
    object_key: str,
    now: datetime,
) -> Proof:
    """Ask for a proof in the name of the actor."""
    return tx.one(
        f"""
        with p as (
            insert into proofs.proofs (
                challenge_id, participant_id, user_id, local_date, opens_at, closes_at, note, captured_at,
                content_type, content_length, sha256, object_key, created_at
            ) values (
                %(challenge_id)s, %(participant_id)s, core.actor(), %(local_date)s, %(opens_at)s, %(closes_at)s,
                %(note)s, %(captured_at)s, %(content_type)s, %(content_length)s, %(sha256)s, %(object_key)s, %(now)s
            ) returning *
        )
        select {_COLUMNS} from p join identity.profiles u on u.id = p.user_id
        """,
        {
            "challenge_id": challenge_id,
            "participant_id": participant_id,
            "local_date": local_date,
            "opens_at": opens_at,
            "closes_at": closes_at,
            "note": note,
            "captured_at": captured_at,
            "content_type": content_type,
            "content_length": content_length,
            "sha256": sha256,
            "object_key": object_key,
            "now": now,
        },
        row=Proof,
    )


def proof(tx: Tx, proof_id: UUID) -> Proof | None:
    """The proof, if the reader may see it."""
    return tx.maybe(
        f"select {_COLUMNS} from proofs.proofs p join identity.profiles u on u.id = p.user_id where p.id = %(id)s",
        {"id": proof_id},
        row=Proof,
    )


def proofs(tx: Tx, challenge_id: UUID, *, before: UUID | None, offset: int, limit: int) -> list[Proof]:
    """Newest first: ids are made in time order."""
    return tx.all(
        f"""
        select {_COLUMNS} from proofs.proofs p join identity.profiles u on u.id = p.user_id
        where p.challenge_id = %(challenge_id)s and (%(before)s::uuid is null or p.id < %(before)s)
        order by p.id desc offset %(offset)s limit %(limit)s
        """,
        {"challenge_id": challenge_id, "before": before, "offset": offset, "limit": limit},
        row=Proof,
    )


def take(tx: Tx, object_key: str, sequencer: str) -> Arrival | None:
    """Mark the object's proof as arrived; None if it is none of ours, or what this event tells has been decided."""
    return tx.maybe(
        f"""
        update proofs.proofs p
        set status = case p.status when 'awaiting_upload' then 'processing' else p.status end
        from challenges.challenges c, challenges.participants a
        where p.object_key = %(object_key)s and c.id = p.challenge_id and a.id = p.participant_id and {_UNDECIDED}
        returning p.id, p.challenge_id, p.participant_id, p.local_date, p.opens_at, p.closes_at, p.content_type,
            c.rules,
            -- who changes their zone keeps the old one for windows that had opened, and has them stored; a window by
            -- the challenge's clocks does not tell the participant's
            coalesce((
                select w.timezone from challenges.windows w
                where w.participant_id = p.participant_id and w.local_date = p.local_date
                  and c.rules #>> '{{schedule,scope}}' is distinct from 'challenge_tz'
            ), a.timezone) as timezone
        """,
        {"object_key": object_key, "sequencer": sequencer},
        row=Arrival,
    )


def put_back(tx: Tx, proof_id: UUID) -> None:
    """The upload is gone: its proof waits for another one, until it expires."""
    tx.run(
        "update proofs.proofs set status = 'awaiting_upload' where id = %(id)s and status = 'processing'",
        {"id": proof_id},
    )


def serialise(tx: Tx, challenge_id: UUID, sha256: bytes) -> None:
    """One verdict at a time in a challenge, and on a file: of two equal photos that come at once, one is the second."""
    tx.run(
        """
        select pg_advisory_xact_lock(hashtextextended('proofs of ' || %(challenge)s, 0)),
               pg_advisory_xact_lock(hashtextextended('file ' || %(file)s, 0))
        """,
        {"challenge": str(challenge_id), "file": sha256.hex()},
    )


def used_before(tx: Tx, arrival: Arrival, sha256: bytes, variants: Sequence[str]) -> UsedBefore | None:
    """Whether this very file was accepted before, anywhere, or a picture near one of the variants in the challenge.

    What this participant sent for the same window does not count. `variants` are texts of 256 binary digits.
    """
    found: UsedBefore | None = tx.value(
        f"""
        select case
            when exists (
                select from proofs.fingerprints f join proofs.proofs p on p.id = f.proof_id
                where f.sha256 = %(sha256)s and {_OTHER_WINDOW}
            ) then 'file'
            when exists (
                select from proofs.fingerprints f join proofs.proofs p on p.id = f.proof_id
                where f.challenge_id = %(challenge_id)s and {_SAME_PICTURE} and {_OTHER_WINDOW}
            ) then 'picture'
        end
        """,
        {
            "challenge_id": arrival.challenge_id,
            "participant_id": arrival.participant_id,
            "local_date": arrival.local_date,
            "sha256": sha256,
            **_same_picture(variants),
        },
    )
    return found


def decide(tx: Tx, proof_id: UUID, verdict: Verdict, *, sequencer: str, stored_at: datetime, now: datetime) -> bool:
    """Write the verdict; False if meanwhile another event brought a final or a newer one."""
    decided = tx.run(
        f"""
        update proofs.proofs p set status = %(status)s, reasons = %(reasons)s, sequencer = %(sequencer)s,
            stored_at = %(stored_at)s, decided_at = %(now)s
        where p.id = %(id)s and {_UNDECIDED}
        """,
        {
            "id": proof_id,
            "status": verdict.status,
            "reasons": Jsonb(verdict.reasons),
            "sequencer": sequencer,
            "stored_at": stored_at,
            "now": now,
        },
    )
    return decided > 0


def add_fingerprint(tx: Tx, arrival: Arrival, sha256: bytes, *, pdq: str, quality: int) -> None:
    """Keep what an accepted photo is recognised by; `pdq` is 256 binary digits."""
    tx.run(
        """
        insert into proofs.fingerprints (proof_id, challenge_id, sha256, pdq, quality)
        values (%(proof_id)s, %(challenge_id)s, %(sha256)s, %(pdq)s::bit(256), %(quality)s)
        """,
        {
            "proof_id": arrival.id,
            "challenge_id": arrival.challenge_id,
            "sha256": sha256,
            "pdq": pdq,
            "quality": quality,
        },
    )


def replace_former(tx: Tx, arrival: Arrival, sha256: bytes, variants: Sequence[str], *, max_per_window: int) -> None:
    """An accepted proof replaces those of its window that show the same picture, and the oldest of too many."""
    tx.run(
        f"""
        update proofs.proofs p set status = 'replaced'
        where p.participant_id = %(participant_id)s and p.local_date = %(local_date)s and p.id <> %(id)s
          and p.status = 'accepted'
          and (
            exists (
                select from proofs.fingerprints f
                where f.proof_id = p.id and (f.sha256 = %(sha256)s or {_SAME_PICTURE})
            )
            or p.id in (
                select q.id from proofs.proofs q
                where q.participant_id = %(participant_id)s and q.local_date = %(local_date)s and q.id <> %(id)s
                  and q.status = 'accepted'
                order by q.decided_at desc, q.id desc offset %(others)s
            )
          )
        """,
        {
            "id": arrival.id,
            "participant_id": arrival.participant_id,
            "local_date": arrival.local_date,
            "sha256": sha256,
            "others": max_per_window - 1,
            **_same_picture(variants),
        },
    )


def _same_picture(variants: Sequence[str]) -> dict[str, object]:
    return {"variants": list(variants), "distance": DUPLICATE_DISTANCE, "discarded_quality": DISCARDED_QUALITY}
