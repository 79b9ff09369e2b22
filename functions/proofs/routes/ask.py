"""HTTP of sending a proof: a photo gets a place in storage to be put, a text or a number its verdict."""

import base64
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field, WithJsonSchema

from challenges import windows
from challenges.language import PhotoProof, Rules
from chally import aws, clock, http, ratelimit
from chally.body import Body
from chally.db import Tx
from chally.http import CurrentActor, TrustedTx
from chally.settings import ProofsSettings, load
from proofs import rules, storage, values
from proofs.queries import proofs
from proofs.queries.proofs import Asked
from proofs.routes import shown
from proofs.routes.shown import ProofOut

router = http.router("proofs")

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def _hexadecimal(text: str) -> str:
    """A SHA-256 in either way of writing it down, as 64 hexadecimal digits."""
    try:
        digest = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ValueError("not a SHA-256: send 64 hexadecimal digits, or base64")
    return digest.hex()


def _text_or_number(value: object) -> str | float | None:
    """JSON's true is no number, and a text of digits is a text."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("It must not be blank.")
        if not _is_text(value):
            raise ValueError("It must be a text of Unicode characters.")
        if len(value) > 2000:
            raise ValueError("It must have at most 2000 characters.")
        return value
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < rules.MAX_NUMBER:
        raise ValueError("It must be a text, or a number of less than 10^12.")
    return float(value)


def _is_text(value: str) -> bool:
    """JSON can write half of a character (a lone surrogate), which no text has."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


Value = Annotated[
    Any,
    BeforeValidator(_text_or_number),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": 2000}, {"type": "number"}, {"type": "null"}]}),
]


class ProofIn(Body):
    """A photo about to be sent: `content_type`, `content_length` (bytes) and `sha256`, which the upload must match. Of
    a text or a number: `value`. Which of them a challenge takes, its rules say.
    """

    content_type: Annotated[str | None, Field(max_length=100, examples=["image/jpeg"])] = None
    content_length: Annotated[int | None, Field(ge=1, le=2**40)] = None
    sha256: Annotated[
        Annotated[str, AfterValidator(_hexadecimal)] | None, Field(max_length=64, description="hexadecimal or base64")
    ] = None
    captured_at: Annotated[AwareDatetime | None, Field(ge=EARLIEST, lt=LATEST, description="as the client says")] = None
    value: Value = None
    note: Annotated[str | None, Field(max_length=500)] = None


class UploadOut(BaseModel):
    """Where to send the file: `method` to `url`, with these headers, before `expires_at`."""

    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    expires_at: datetime


class ProofRequestedOut(BaseModel):
    """`upload` is null for a text or a number: its proof is decided already."""

    proof: ProofOut
    upload: UploadOut | None


async def _limit_proofs(actor: CurrentActor, challenge_id: UUID) -> None:
    """Whatever comes of them: who tries what passes runs out of tries."""
    ratelimit.take(clock.now(), actor, proof=str(actor.user_id), proof_challenge=f"{actor.user_id} {challenge_id}")


@router.post("/v1/challenges/{challenge_id}/proofs", status_code=201, dependencies=[Depends(_limit_proofs)])
async def ask(challenge_id: UUID, body: ProofIn, tx: TrustedTx, response: Response) -> ProofRequestedOut:
    """Prove it, in my window that is open now: announce a photo, or send a text or a number."""
    now = clock.now()
    challenge = shown.challenge(tx, challenge_id)
    participant_id = shown.own_place(challenge)
    terms = Rules.model_validate(challenge.rules)
    rules.check_fields(body.model_dump(exclude_none=True).keys(), terms.proof)
    window = rules.check_window(windows.current(tx, participant_id, now), challenge.status, now)
    if not window.stored:  # the verdict writes its outcome there
        windows.precompute(tx, participant_id, now)
    asked = Asked(
        challenge_id,
        participant_id,
        window.local_date,
        window.opens_at,
        window.closes_at,
        window.timezone,
        window.tzdata,
        body.note,
    )
    if isinstance(terms.proof, PhotoProof):
        rules.check_room(window.proof_statuses, terms.proof.max_per_window)
        answer = _photo(tx, asked, body, terms.proof, now)
    else:
        proof = values.prove(tx, asked, body.value, terms.proof, now)
        answer = ProofRequestedOut(proof=ProofOut.of(proof, now), upload=None)
    response.headers["Location"] = f"/v1/proofs/{answer.proof.id}"
    return answer


def _photo(tx: Tx, asked: Asked, body: ProofIn, terms: PhotoProof, now: datetime) -> ProofRequestedOut:
    # by `rules.check_fields`
    assert body.content_type is not None
    assert body.content_length is not None
    assert body.sha256 is not None
    rules.check_announced(body.content_type, body.content_length, terms)
    rules.check_storage(proofs.stored(tx, now - rules.STORED_FOR, now), body.content_length)
    key, sha256 = storage.new_key(), bytes.fromhex(body.sha256)
    proof = proofs.add_photo(
        tx,
        asked,
        captured_at=body.captured_at,
        content_type=body.content_type,
        content_length=body.content_length,
        sha256=sha256,
        object_key=key,
        now=now,
    )
    settings = load(ProofsSettings)
    upload = storage.presign_put(
        bucket=settings.uploads_bucket,
        key=key,
        content_type=body.content_type,
        content_length=body.content_length,
        sha256_base64=base64.b64encode(sha256).decode(),
        expires=rules.UPLOAD_LIFE,
        now=now,
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        credentials=aws.credentials(),
    )
    return ProofRequestedOut(
        proof=ProofOut.of(proof, now),
        upload=UploadOut(method="PUT", url=upload.url, headers=dict(upload.headers), expires_at=upload.expires_at),
    )
