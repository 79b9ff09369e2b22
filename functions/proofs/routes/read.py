"""HTTP of proofs that are there: the list of a challenge's, and one of them."""

from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response

from challenges.rules import NotParticipant
from chally import aws, clock, http
from chally.actor import is_moderator
from chally.errors import NotFound
from chally.http import UserTx
from chally.paging import Page, PageParams
from chally.settings import ProofsSettings, load
from proofs import rules, storage
from proofs.queries import proofs
from proofs.routes import shown
from proofs.routes.shown import ProofOut

router = http.router("proofs")

PICTURE_LINK_LIFE = timedelta(minutes=5)


@router.get("/v1/challenges/{challenge_id}/proofs")
async def list_proofs(
    challenge_id: UUID,
    tx: UserTx,
    asked: PageParams,
    status: Annotated[Literal["needs_review"] | None, Query(description="only what waits for a review")] = None,
) -> Page[ProofOut]:
    """The proofs of a challenge that I may see, newest first."""
    challenge = proofs.challenge(tx, challenge_id)
    if not is_moderator(tx.session):  # who does finds what waits for them here
        if challenge is None:
            raise NotFound
        if challenge.participant_id is None and not challenge.is_owner:
            raise NotParticipant
    now = clock.now()
    rows = proofs.proofs(
        tx, challenge_id, to_review=status is not None, before=asked.after, offset=asked.offset, limit=asked.fetch
    )
    return asked.page(rows, [ProofOut.of(row, now) for row in rows], [str(row.id) for row in rows])


@router.get("/v1/proofs/{proof_id}")
async def read_proof(proof_id: UUID, tx: UserTx) -> ProofOut:
    """One proof, and what became of it."""
    return ProofOut.of(shown.found(proofs.proof(tx, proof_id)), clock.now())


@router.get("/v1/proofs/{proof_id}/image", status_code=307, response_class=Response)
async def read_image(proof_id: UUID, tx: UserTx) -> Response:
    """The cleaned picture: a redirect to where it is, for five minutes. For the participants of the challenge; that of
    a rejected proof only for who sent it and who may review it.
    """
    picture = proofs.picture(tx, proof_id)
    if picture is None or picture.key is None or not rules.shows_picture(picture.status, is_judge=picture.is_judge):
        raise NotFound
    settings = load(ProofsSettings)
    url = storage.presign_get(
        bucket=settings.uploads_bucket,
        key=picture.key,
        expires=PICTURE_LINK_LIFE,
        now=clock.now(),
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        credentials=aws.credentials(),
    )
    return Response(status_code=307, headers={"location": url})
