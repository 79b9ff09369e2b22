"""HTTP of receipts."""

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


@router.get("/v1/proofs/{proof_id}/receipt", summary="Read the receipt of a proof", response_class=Jose)
async def get_receipt(proof_id: UUID, actor: CurrentActor) -> Response:
    """A signed receipt for a proof that you sent or can review: a compact JWS (ES256) that anyone can verify with the
    keys at `/.well-known/jwks.json`. It states the bounds of the window, the tzdata version that gave them, the
    SHA-256 of the content, when it was stored, and the verdict with its reasons, as of now. 409 `not_decided` if there
    is no verdict yet.
    """
    settings, now = load(ProofsSettings), clock.now()
    with db.as_user(actor, read_only=True) as tx:  # ends before the key is loaded, which may need the network
        row = queries.find_receipt_row(tx, proof_id)
    if row is None:
        raise NotFound
    receipt = Receipt.from_row(row, issuer=settings.public_url, now=now)
    key = receipt_key.load(settings.receipt_secret_arn)
    return Jose(key.sign(receipt.payload(), typ=receipts.TYPE))
