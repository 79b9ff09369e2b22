"""HTTP of proofs that are there: the list of a challenge's, and one of them."""

from uuid import UUID

from challenges.rules import NotParticipant
from chally import clock, http
from chally.errors import NotFound
from chally.http import UserTx
from chally.paging import Page, PageAsked
from proofs.queries import proofs
from proofs.routes import shown
from proofs.routes.shown import ProofOut

router = http.router("proofs")


@router.get("/v1/challenges/{challenge_id}/proofs")
async def list_proofs(challenge_id: UUID, tx: UserTx, asked: PageAsked) -> Page[ProofOut]:
    """The proofs of a challenge that I may see, newest first."""
    challenge = shown.challenge(tx, challenge_id)
    if challenge.participant_id is None and not challenge.is_owner:
        raise NotParticipant
    now = clock.now()
    rows = proofs.proofs(tx, challenge_id, before=asked.after, offset=asked.offset, limit=asked.fetch)
    return asked.page(rows, [ProofOut.of(row, now) for row in rows], [str(row.id) for row in rows])


@router.get("/v1/proofs/{proof_id}")
async def read_proof(proof_id: UUID, tx: UserTx) -> ProofOut:
    """One proof, and what became of it."""
    proof = proofs.proof(tx, proof_id)
    if proof is None:
        raise NotFound
    return ProofOut.of(proof, clock.now())
