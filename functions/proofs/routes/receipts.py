"""HTTP of receipts: what became of a proof, signed."""

from uuid import UUID

from fastapi import Response

from chally import clock, db, http
from chally.errors import NotFound
from chally.http import CurrentActor
from chally.settings import ProofsSettings, load
from identity import receipt_key
from proofs import receipts
from proofs.queries import receipts as queries
from proofs.receipts import Receipt

router = http.router("proofs")


class Jose(Response):
    media_type = receipts.MEDIA_TYPE


@router.get("/v1/proofs/{proof_id}/receipt", response_class=Jose)
async def read_receipt(proof_id: UUID, actor: CurrentActor) -> Response:
    """What is known of a proof that I sent, or may review, as of now: a compact JWS (ES256) that anybody can check with
    the keys at `/.well-known/jwks.json`. It tells the bounds of its window, the tzdata they were computed with, the
    SHA-256 of what was sent, when that was stored, and the verdict with its reasons; 409 `not_decided` while there is
    none.
    """
    settings, now = load(ProofsSettings), clock.now()
    with db.as_user(actor, read_only=True) as tx:  # its own: the key may come by network
        known = queries.known(tx, proof_id)
    if known is None:
        raise NotFound
    receipt = Receipt.of(known, issuer=settings.public_url, now=now)
    key = receipt_key.load(settings.receipt_secret_arn)
    return Jose(key.sign(receipt.payload(), typ=receipts.TYPE))
