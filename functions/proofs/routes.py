"""HTTP of proofs: ask to send one, and see what became of it."""

import base64
from datetime import UTC, date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from challenges import windows
from challenges.language import Rules
from challenges.rules import NotParticipant
from chally import aws, clock, http
from chally.body import Body
from chally.errors import NotFound
from chally.http import UserTx
from chally.paging import Page, PageAsked
from chally.settings import ProofsSettings, load
from proofs import rules, storage
from proofs.queries import proofs
from proofs.queries.proofs import Challenge, Proof

router = http.router("proofs")


def _hexadecimal(text: str) -> str:
    """A SHA-256 in either way of writing it down, as 64 hexadecimal digits."""
    try:
        digest = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ValueError("not a SHA-256: send 64 hexadecimal digits, or base64")
    return digest.hex()


class ProofIn(Body):
    """A photo about to be sent. The upload must match its type, its size in bytes and its SHA-256."""

    content_type: Annotated[str, Field(max_length=100, examples=["image/jpeg"])]
    content_length: Annotated[int, Field(ge=1, le=2**40)]
    sha256: Annotated[str, Field(max_length=64, description="hexadecimal or base64"), AfterValidator(_hexadecimal)]
    captured_at: Annotated[
        AwareDatetime | None,
        Field(
            ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC), description="as the client says"
        ),
    ] = None
    note: Annotated[str | None, Field(max_length=500)] = None


class ProverOut(BaseModel):
    id: UUID
    username: str


class ReasonOut(BaseModel):
    """Why a proof was not accepted: `code` is stable, `detail` is for the person."""

    code: rules.ReasonCode
    detail: str


class ProofOut(BaseModel):
    id: UUID
    challenge_id: UUID
    participant_id: UUID
    user: ProverOut
    local_date: Annotated[date, Field(description="which of the participant's windows it is for")]
    opens_at: datetime
    closes_at: datetime
    kind: Literal["photo"]
    status: rules.ShownStatus
    reasons: list[ReasonOut]
    note: str | None
    captured_at: datetime | None
    content_type: str
    content_length: int
    sha256: str
    created_at: datetime
    stored_at: Annotated[datetime | None, Field(description="when the upload reached storage")]
    decided_at: datetime | None

    @classmethod
    def of(cls, proof: Proof, now: datetime) -> Self:
        return cls.model_validate(
            {
                **{name: getattr(proof, name) for name in cls.model_fields if hasattr(proof, name)},
                "user": ProverOut(id=proof.user_id, username=proof.username),
                "status": rules.shown_status(proof.status, proof.created_at, now),
                "sha256": proof.sha256.hex(),
            }
        )


class UploadOut(BaseModel):
    """Where to send the file: `method` to `url`, with these headers, before `expires_at`."""

    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    expires_at: datetime


class ProofRequestedOut(BaseModel):
    proof: ProofOut
    upload: UploadOut


@router.post("/v1/challenges/{challenge_id}/proofs", status_code=201)
async def request_proof(challenge_id: UUID, body: ProofIn, tx: UserTx, response: Response) -> ProofRequestedOut:
    now = clock.now()
    challenge = _found(proofs.challenge(tx, challenge_id))
    if challenge.participant_id is None:
        raise NotParticipant
    terms = Rules.model_validate(challenge.rules).proof
    rules.check_announced(body.content_type, body.content_length, terms)
    window = rules.check_window(windows.current(tx, challenge.participant_id, now), challenge.status, now)
    rules.check_room([proof["status"] for proof in window.proofs], terms.max_per_window)
    if not window.stored:  # the verdict writes its outcome there
        windows.precompute(tx, challenge.participant_id, now)
    key = storage.new_key()
    sha256 = bytes.fromhex(body.sha256)
    proof = proofs.add(
        tx,
        challenge_id=challenge_id,
        participant_id=challenge.participant_id,
        local_date=window.local_date,
        opens_at=window.opens_at,
        closes_at=window.closes_at,
        note=body.note,
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
    response.headers["Location"] = f"/v1/proofs/{proof.id}"
    return ProofRequestedOut(
        proof=ProofOut.of(proof, now),
        upload=UploadOut(method="PUT", url=upload.url, headers=dict(upload.headers), expires_at=upload.expires_at),
    )


@router.get("/v1/challenges/{challenge_id}/proofs")
async def list_proofs(challenge_id: UUID, tx: UserTx, asked: PageAsked) -> Page[ProofOut]:
    challenge = _found(proofs.challenge(tx, challenge_id))
    if challenge.participant_id is None and not challenge.is_owner:
        raise NotParticipant
    now = clock.now()
    rows = proofs.proofs(tx, challenge_id, before=asked.after, offset=asked.offset, limit=asked.fetch)
    return asked.page(rows, [ProofOut.of(row, now) for row in rows], [str(row.id) for row in rows])


@router.get("/v1/proofs/{proof_id}")
async def read_proof(proof_id: UUID, tx: UserTx) -> ProofOut:
    proof = proofs.proof(tx, proof_id)
    if proof is None:
        raise NotFound
    return ProofOut.of(proof, clock.now())


def _found(challenge: Challenge | None) -> Challenge:
    if challenge is None:
        raise NotFound
    return challenge


handler = http.lambda_handler(router)
