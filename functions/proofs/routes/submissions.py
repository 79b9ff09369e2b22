"""HTTP of sending a proof: a photo gets an upload URL, a text or a number its verdict."""

import base64
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema

from challenges import outcomes, windows
from challenges.language import PhotoProof, Rules
from chally import aws, clock, http, ratelimit
from chally.body import Body
from chally.db import Tx
from chally.fields import Instant
from chally.http import CurrentActor, TrustedTx
from chally.settings import ProofsSettings, load
from chally.text import SHOWN_TEXT, visible
from proofs import storage, values
from proofs.queries import proofs
from proofs.queries.proofs import ProofRequest
from proofs.routes import responses
from proofs.routes.responses import ProofOut
from proofs.rules import submission
from proofs.rules.status import UPLOAD_LIFE

router = http.router("proofs")

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def _hexadecimal(text: str) -> str:
    """Convert a SHA-256 from hexadecimal or base64 to 64 hexadecimal digits."""
    try:
        digest = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ValueError("It must be a SHA-256, as 64 hexadecimal digits or in base64.")
    return digest.hex()


def _text_or_number(value: object) -> str | float | None:
    """Accept a text or a number: `true` is not a number, and digits in quotes are a text."""
    if isinstance(value, str):
        if not visible(value):
            raise ValueError("It must not be blank.")
        if not _is_text(value):
            raise ValueError("It must be valid Unicode text.")
        if len(value) > 2000:
            raise ValueError("It must have at most 2000 characters.")
        return value
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < submission.MAX_NUMBER:
        raise ValueError("It must be a text, or a number between -1,000,000,000,000 and 1,000,000,000,000.")
    return float(value)


def _is_text(value: str) -> bool:
    """Whether a string has no lone surrogates, which JSON allows and UTF-8 does not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


Value = Annotated[
    Any,
    BeforeValidator(_text_or_number),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": 2000},
                {"type": "number", "exclusiveMinimum": -(10**12), "exclusiveMaximum": 10**12},
                {"type": "null"},
            ]
        }
    ),
]


class ProofIn(Body):
    """For a photo: `content_type`, `content_length` (bytes) and `sha256`, which the upload must match. For a text or a
    number: `value`. The rules of the challenge say which kind it accepts.
    """

    content_type: Annotated[str | None, Field(max_length=100, examples=["image/jpeg"])] = None
    content_length: Annotated[int | None, Field(ge=1, le=2**40)] = None
    sha256: Annotated[
        Annotated[str, AfterValidator(_hexadecimal)] | None, Field(max_length=64, description="Hexadecimal or base64.")
    ] = None
    captured_at: Annotated[
        Instant | None,
        Field(ge=EARLIEST, lt=LATEST, description="When the photo was taken, according to the client."),
    ] = None
    value: Value = None
    note: Annotated[str | None, Field(max_length=500), SHOWN_TEXT] = None


class UploadOut(BaseModel):
    """How to upload the file: send `method` to `url` with exactly these headers, before `expires_at`, once. Storage
    answers 412 to another upload: the first one arrived.
    """

    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    expires_at: datetime


class ProofRequestedOut(BaseModel):
    """`upload` is null for a text or a number, which already has its verdict."""

    proof: ProofOut
    upload: UploadOut | None


async def _limit_proofs(actor: CurrentActor, challenge_id: UUID, body: ProofIn) -> None:
    """Failed attempts count too, so that nobody can try out what passes. A body that cannot be read does not."""
    ratelimit.consume(clock.now(), actor, proof=str(actor.user_id), proof_challenge=f"{actor.user_id} {challenge_id}")


@router.post(
    "/v1/challenges/{challenge_id}/proofs",
    summary="Send a proof",
    status_code=201,
    dependencies=[Depends(_limit_proofs)],
)
async def send_proof(challenge_id: UUID, body: ProofIn, tx: TrustedTx, response: Response) -> ProofRequestedOut:
    """Send a proof for your open window: announce a photo and get an upload URL, or send a text or a number."""
    now = clock.now()
    challenge = responses.find_challenge(tx, challenge_id)
    participant_id = responses.own_participant_id(challenge)
    terms = Rules.model_validate(challenge.rules)
    submission.check_fields(body.model_dump(exclude_none=True).keys(), terms.proof)
    window = submission.check_window(windows.current(tx, participant_id, now), challenge.status, now)
    if not window.stored:  # the verdict will update its row
        windows.precompute(tx, participant_id, now)
    request = ProofRequest(
        challenge_id,
        participant_id,
        window.local_date,
        window.opens_at,
        window.closes_at,
        window.timezone,
        window.tzdata,
        body.note or None,
    )
    if isinstance(terms.proof, PhotoProof):
        # Concurrent requests for the same window count each other.
        outcomes.lock_window(tx, participant_id, window.local_date)
        statuses = proofs.window_statuses(tx, participant_id, window.local_date, now)
        submission.check_room(statuses, terms.proof.max_per_window)
        result = _add_photo(tx, request, body, terms.proof, now)
    else:
        proof = values.submit_value(tx, request, body.value, terms.proof, now)
        result = ProofRequestedOut(proof=ProofOut.of(proof, now), upload=None)
    response.headers["Location"] = f"/v1/proofs/{result.proof.id}"
    return result


def _add_photo(tx: Tx, request: ProofRequest, body: ProofIn, terms: PhotoProof, now: datetime) -> ProofRequestedOut:
    # `submission.check_fields` requires these.
    assert body.content_type is not None
    assert body.content_length is not None
    assert body.sha256 is not None
    submission.check_announced(body.content_type, body.content_length, terms)
    submission.check_storage(proofs.stored_bytes(tx, now - submission.STORED_FOR, now), body.content_length)
    key, sha256 = storage.new_key(), bytes.fromhex(body.sha256)
    proof = proofs.add_photo(
        tx,
        request,
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
        expires=UPLOAD_LIFE,
        now=now,
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        credentials=aws.credentials(),
    )
    return ProofRequestedOut(
        proof=ProofOut.of(proof, now),
        upload=UploadOut(method="PUT", url=upload.url, headers=dict(upload.headers), expires_at=upload.expires_at),
    )
