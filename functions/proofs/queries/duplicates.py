"""SQL of duplicates: what accepted photos are recognised by, and the one nearest to a new photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from chally.db import Tx
from proofs.queries.arrivals import Arrival
from proofs.rules import DISCARDED_QUALITY, DUPLICATE_DISTANCE, UsedBefore


@dataclass(frozen=True, slots=True)
class Match:
    """A former proof that is the very same file, or shows the same picture `distance` of 256 bits away. `rejected`: by
    a person, in this challenge. What machines reject, or a person elsewhere, may be right here.
    """

    proof_id: UUID
    kind: UsedBefore
    distance: int
    participant_id: UUID
    user_id: UUID
    same_challenge: bool
    rejected: bool


# Fingerprint f and any variant of another picture are at most `distance` bits apart, and that means something.
_SAME_PICTURE = """
    f.quality > %(discarded_quality)s and exists (
        select from unnest(%(variants)s::text[]::bit(256)[]) as variant
        where bit_count(f.pdq # variant) <= %(distance)s
    )
"""


def serialise(tx: Tx, arrival: Arrival, sha256: bytes) -> None:
    """One verdict at a time in a challenge, of a person, and on a file: of two equal photos that come at once, one is
    the second, which sees the first. Whatever adds a fingerprint or asks for the nearest one holds these, and takes
    them in this order: so nobody waits in a circle.
    """
    tx.run(
        """
        select pg_advisory_xact_lock(hashtextextended('proofs of ' || %(challenge)s, 0)),
               pg_advisory_xact_lock(hashtextextended('proofs by ' || %(user)s, 0)),
               pg_advisory_xact_lock(hashtextextended('file ' || %(file)s, 0))
        """,
        {"challenge": str(arrival.challenge_id), "user": str(arrival.user_id), "file": sha256.hex()},
    )


def nearest(
    tx: Tx, arrival: Arrival, sha256: bytes, variants: Sequence[str], *, only_rejected: bool = False
) -> Match | None:
    """The nearest photo that counts: this very file, anywhere; or else the picture with the fewest bits between it and
    one of the variants, in this challenge by anybody or in any by this person. Of several as near, the first that was
    sent. What this participant sent for the same window does not count. What a person has rejected in this challenge
    does, also there; `only_rejected`: nothing else does.

    `variants` are texts of 256 binary digits; without any, only files are compared.
    """
    return tx.maybe(
        """
        with found as (
            select f.proof_id, 'file' as kind, 0 as distance
            from proofs.fingerprints f where f.sha256 = %(sha256)s
            union all
            select near.proof_id, 'picture', near.bits
            from unnest(array[%(challenge_id)s, %(user_id)s]::uuid[]) as scope
            cross join lateral proofs.near(scope, %(variants)s, %(distance)s) as near
        )
        select p.id as proof_id, found.kind, found.distance, p.participant_id, p.user_id,
               p.challenge_id = %(challenge_id)s as same_challenge, p.rejected
        from found cross join lateral (
            -- by its key, one by one: the planner cannot know how few there are
            select *, challenge_id = %(challenge_id)s and status = 'rejected' and review = 'reject' as rejected
            from proofs.proofs where id = found.proof_id offset 0
        ) as p
        where p.rejected or not %(only_rejected)s
          and (p.participant_id, p.local_date) <> (%(participant_id)s, %(local_date)s)
          and p.status in ('accepted', 'needs_review', 'replaced')
        order by found.kind, found.distance, p.id limit 1
        """,
        {
            "challenge_id": arrival.challenge_id,
            "user_id": arrival.user_id,
            "participant_id": arrival.participant_id,
            "local_date": arrival.local_date,
            "sha256": sha256,
            "variants": list(variants),
            "distance": DUPLICATE_DISTANCE,
            "only_rejected": only_rejected,
        },
        row=Match,
    )


def keep_fingerprint(tx: Tx, arrival: Arrival, sha256: bytes, *, pdq: str, quality: int) -> None:
    """Keep what a photo is recognised by; `pdq` is 256 binary digits. Of a newer version of its file, the newer one."""
    tx.run(
        """
        insert into proofs.fingerprints (proof_id, challenge_id, sha256, pdq, quality)
        values (%(proof_id)s, %(challenge_id)s, %(sha256)s, %(pdq)s::bit(256), %(quality)s)
        on conflict on constraint fingerprints_pkey do update
            set sha256 = excluded.sha256, pdq = excluded.pdq, quality = excluded.quality
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
    """An accepted proof replaces those of its window that show the same picture, and of the others the oldest that are
    too many.
    """
    tx.run(
        f"""
        with others as (
            select p.id, p.decided_at, exists (
                select from proofs.fingerprints f
                where f.proof_id = p.id and (f.sha256 = %(sha256)s or {_SAME_PICTURE})
            ) as is_same
            from proofs.proofs p
            where p.participant_id = %(participant_id)s and p.local_date = %(local_date)s and p.id <> %(id)s
              and p.status = 'accepted'
        )
        update proofs.proofs p set status = 'replaced'
        where p.status = 'accepted' and p.id in (  -- still: a review may have come in between
            select id from others where is_same
            union all
            (select id from others where not is_same order by decided_at desc, id desc offset %(others)s)
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
