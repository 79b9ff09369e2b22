"""Compares a new photo with the earlier ones nearest to it, and says which of them decides."""

from collections.abc import Sequence
from dataclasses import dataclass

from chally.db import Tx
from proofs.fingerprints import Fingerprint
from proofs.graphics import Graphic
from proofs.queries import duplicates
from proofs.queries.arrivals import Arrival
from proofs.queries.duplicates import Match
from proofs.rules.verdict import Doubt, Reason, check_duplicate, is_comparable

# Of the screens of one app, many can be near a new one. A copy is among the nearest, and a second look at the pixels
# takes 20 ms.
MOST_MATCHES = 10


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result, and the earlier proof that it is about; neither if no earlier proof is near."""

    result: Reason | Doubt | None = None
    match: Match | None = None


def compare(
    tx: Tx,
    arrival: Arrival,
    sha256: bytes,
    variants: Sequence[Fingerprint],
    graphic: Graphic | None,
    *,
    only_rejected: bool,
) -> Comparison:
    """Compare a photo; `variants` are its fingerprints in every orientation. A certain duplicate decides, then a doubt.

    `only_rejected`: pictures are not compared, and the same file only with those that a reviewer rejected.
    """
    bits = [] if only_rejected else [variant.bits for variant in variants]
    doubt = Comparison()
    for match in duplicates.find_matches(tx, arrival, sha256, bits, only_rejected=only_rejected, limit=MOST_MATCHES):
        look = None
        if graphic and match.graphic and match.kind == "picture":
            look = graphic.compare(Graphic.unpack(match.graphic))
        comparable = match.comparable and is_comparable(variants[0].quality)
        result = check_duplicate(match.kind, match.distance, rejected=match.rejected, comparable=comparable, look=look)
        if result is not None and not isinstance(result, Doubt):
            return Comparison(result, match)
        if result is not None and doubt.match is None:
            doubt = Comparison(result, match)
    return doubt
