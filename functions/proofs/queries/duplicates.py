"""SQL of duplicates: the fingerprints of photos, and the earlier photo nearest to a new one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from chally.db import Tx
from proofs.queries.arrivals import Arrival
from proofs.rules.verdict import DUPLICATE_DISTANCE, MatchKind, is_comparable


@dataclass(frozen=True, slots=True)
class Match:
    """An earlier proof with the same file, or with a picture `distance` of 256 bits away.

    `rejected`: a reviewer rejected it in this challenge. A photo that was rejected by the checks, or in another
    challenge, may be right in this one. `comparable`: its fingerprint is. `graphic`: its pixels, if it is a flat
    graphic.
    """

    proof_id: UUID
    kind: MatchKind
    distance: int
    participant_id: UUID
    user_id: UUID
    same_challenge: bool
    rejected: bool
    comparable: bool = field(default=True, compare=False)
    graphic: bytes | None = field(default=None, compare=False, repr=False)


# Fingerprint f tells its picture from others, and is at most `distance` bits from one of the variants of another.
_SAME_PICTURE = """
    f.comparable and f.graphic is null and exists (
        select from unnest(%(variants)s::text[]::bit(256)[]) as variant
        where bit_count(f.pdq # variant) <= %(distance)s
    )
"""


def lock_for_verdict(tx: Tx, arrival: Arrival, sha256: bytes) -> None:
    """Allow one verdict at a time in a challenge, for a person, and on a file: of two equal photos that arrive at once,
    the second sees the first.

    Hold these locks to add a fingerprint or to search for the nearest. Taken in this order, they cannot deadlock.
    """
    tx.run(
        """
        select pg_advisory_xact_lock(hashtextextended('proofs of ' || %(challenge)s, 0)),
               pg_advisory_xact_lock(hashtextextended('proofs by ' || %(user)s, 0)),
               pg_advisory_xact_lock(hashtextextended('file ' || %(file)s, 0))
        """,
        {"challenge": str(arrival.challenge_id), "user": str(arrival.user_id), "file": sha256.hex()},
    )


def find_nearest(
    tx: Tx, arrival: Arrival, sha256: bytes, variants: Sequence[str], *, only_rejected: bool = False
) -> Match | None:
    """The first match of `find_matches`."""
    return next(iter(find_matches(tx, arrival, sha256, variants, only_rejected=only_rejected, limit=1)), None)


def find_matches(
    tx: Tx, arrival: Arrival, sha256: bytes, variants: Sequence[str], *, only_rejected: bool = False, limit: int
) -> list[Match]:
    """Find the earlier photos nearest to a new one: first the same file in any challenge, then the pictures with the
    fewest bits from one of the variants, sent by anyone in this challenge or by this person in any. The oldest wins a
    tie.

    Photos of this participant for the same window do not count, unless a reviewer rejected them. Photos that a reviewer
    rejected in this challenge count; with `only_rejected` nothing else does.

    `variants` are texts of 256 binary digits. Without any, only files are compared.
    """
    return tx.all(
        """
        with found as (
            select f.proof_id, 'file' as kind, 0 as distance
            from proofs.fingerprints f where f.sha256 = %(sha256)s
            union all
            select similar_photo.proof_id, 'picture', similar_photo.bits
            from unnest(array[%(challenge_id)s, %(user_id)s]::uuid[]) as scope
            cross join lateral proofs.find_similar(scope, %(variants)s, %(distance)s) as similar_photo
        )
        select p.id as proof_id, found.kind, found.distance, p.participant_id, p.user_id,
               p.challenge_id = %(challenge_id)s as same_challenge, p.rejected, f.comparable, f.graphic
        from found cross join lateral (
            -- "offset 0" makes it one lookup by key for each: the planner cannot know how few there are
            select *, challenge_id = %(challenge_id)s and status = 'rejected' and review = 'reject' as rejected
            from proofs.proofs where id = found.proof_id offset 0
        ) as p
        cross join lateral (
            select comparable, graphic from proofs.fingerprints where proof_id = found.proof_id offset 0
        ) as f
        where p.rejected or not %(only_rejected)s
          and (p.participant_id, p.local_date) <> (%(participant_id)s, %(local_date)s)
          and p.status in ('accepted', 'needs_review', 'replaced')
        order by found.kind, found.distance, p.id limit %(limit)s
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
            "limit": limit,
        },
        row=Match,
    )


def save_fingerprint(
    tx: Tx, arrival: Arrival, sha256: bytes, *, pdq: str, quality: int, graphic: bytes | None = None
) -> None:
    """Save the fingerprint of a photo, or replace it for a newer version; `pdq` is 256 binary digits, `graphic` the
    packed pixels of a flat graphic.
    """
    tx.run(
        """
        insert into proofs.fingerprints (proof_id, challenge_id, user_id, sha256, pdq, quality, comparable, graphic)
        values (
            %(proof_id)s, %(challenge_id)s, %(user_id)s, %(sha256)s, %(pdq)s::bit(256), %(quality)s, %(comparable)s,
            %(graphic)s
        )
        on conflict on constraint fingerprints_pkey do update
            set sha256 = excluded.sha256, pdq = excluded.pdq, quality = excluded.quality,
                comparable = excluded.comparable, graphic = excluded.graphic
        """,
        {
            "proof_id": arrival.id,
            "challenge_id": arrival.challenge_id,
            "user_id": arrival.user_id,
            "sha256": sha256,
            "pdq": pdq,
            "quality": quality,
            "comparable": is_comparable(quality),
            "graphic": graphic,
        },
    )


def replace_earlier(tx: Tx, arrival: Arrival, sha256: bytes, variants: Sequence[str], *, max_per_window: int) -> None:
    """Mark as replaced the accepted proofs of the same window that show the same picture, and of the others the oldest
    that exceed `max_per_window`.
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
        where p.status = 'accepted' and p.id in (  -- a review may have changed it since
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
    return {"variants": list(variants), "distance": DUPLICATE_DISTANCE}
