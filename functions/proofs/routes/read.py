"""HTTP of reading proofs: the list of a challenge, one proof, its picture."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Header, Query, Response
from pydantic import BaseModel

from challenges.rules import NotParticipant
from chally import aws, clock, http
from chally.actor import is_moderator
from chally.errors import NotFound
from chally.http import UserTx
from chally.paging import Page, PageParams
from chally.settings import ProofsSettings, load
from proofs import storage
from proofs.queries import proofs
from proofs.routes import responses
from proofs.routes.responses import ProofOut
from proofs.rules.status import shows_picture

router = http.router("proofs")

PICTURE_LINK_LIFE = timedelta(minutes=5)


@router.get("/v1/challenges/{challenge_id}/proofs", summary="List the proofs of a challenge")
async def list_proofs(
    challenge_id: UUID,
    tx: UserTx,
    params: PageParams,
    status: Annotated[Literal["needs_review"] | None, Query(description="Only proofs that need a review.")] = None,
) -> Page[ProofOut]:
    """The proofs of a challenge that you can see, newest first."""
    challenge = proofs.find_challenge(tx, challenge_id)
    if not is_moderator(tx.session):  # moderators find proofs to review here, without taking part
        if challenge is None:
            raise NotFound
        if challenge.participant_id is None and not challenge.is_owner:
            raise NotParticipant
    now = clock.now()
    rows = proofs.list_proofs(
        tx,
        challenge_id,
        to_review=status is not None,
        before=params.after,
        offset=params.offset,
        limit=params.fetch_limit,
    )
    return params.page(rows, [ProofOut.of(row, now) for row in rows], [str(row.id) for row in rows])


@router.get("/v1/proofs/{proof_id}", summary="Read a proof")
async def get_proof(proof_id: UUID, tx: UserTx) -> ProofOut:
    """A proof, with its status and verdict."""
    return ProofOut.of(responses.require_proof(proofs.find_proof(tx, proof_id)), clock.now())


class PictureOut(BaseModel):
    """A link to the cleaned picture of a proof, for anyone who has it until `expires_at`. The size is in pixels;
    pictures made before sizes were recorded have none.
    """

    url: str
    expires_at: datetime
    width: int | None
    height: int | None
    content_type: Literal["image/jpeg"]


@router.get(
    "/v1/proofs/{proof_id}/image",
    summary="Read the picture of a proof",
    response_model=PictureOut,
    responses={307: {"description": "A redirect to the picture, for other values of `Accept`"}},
)
async def get_proof_image(
    proof_id: UUID, tx: UserTx, response: Response, accept: Annotated[str, Header(include_in_schema=False)] = ""
) -> object:
    """A link to the cleaned picture of a proof, valid for five minutes: as JSON for `Accept: application/json`, which
    scripts in browsers should send, otherwise as a redirect.

    Participants who can see the roster see the pictures of accepted and replaced proofs. Pictures of other proofs are
    shown only to the sender, the owner of the challenge and moderators.
    """
    picture = proofs.find_picture(tx, proof_id)
    if picture is None or picture.key is None or not shows_picture(picture.status, shows_details=picture.shows_details):
        raise NotFound
    settings = load(ProofsSettings)
    now = clock.now()
    url = storage.presign_get(
        bucket=settings.uploads_bucket,
        key=picture.key,
        expires=PICTURE_LINK_LIFE,
        now=now,
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        credentials=aws.credentials(),
    )
    vary = {"vary": "Accept"}
    if not _prefers_json(accept):
        return Response(status_code=307, headers=vary | {"location": url})
    response.headers.update(vary)
    return PictureOut(
        url=url,
        expires_at=now + PICTURE_LINK_LIFE,
        width=picture.width,
        height=picture.height,
        content_type="image/jpeg",
    )


def _prefers_json(accept: str) -> bool:
    """Whether an Accept header (RFC 9110, 12.5.1) names JSON, and no picture before it. `*/*` names neither."""
    json, picture = 0.0, 0.0
    for each in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in each.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        weight = float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 0.0
        if media_type == "application/json":
            json = max(json, weight)
        elif media_type.startswith("image/"):
            picture = max(picture, weight)
    return json > 0 and json >= picture
