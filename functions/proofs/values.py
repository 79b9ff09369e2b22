"""Texts and numbers: proofs that are decided in the moment they are sent."""

from datetime import datetime

from challenges import outcomes, standings
from challenges.language import NumberProof, TextProof
from chally.db import Tx
from notifications import reminders
from proofs import rules
from proofs.queries import proofs
from proofs.queries.proofs import Asked, Proof


def prove(tx: Tx, asked: Asked, value: str | float, terms: TextProof | NumberProof, now: datetime) -> Proof:
    """Write the proof with its verdict; standing and reminder follow in the same transaction.

    Raises `InvalidRequest` for a value of another kind, and `WindowFull`: of two that come at once, one is the second.
    """
    rules.check_value(value, terms)
    outcomes.lock_window(tx, asked.participant_id, asked.local_date)
    rules.check_room(proofs.statuses(tx, asked.participant_id, asked.local_date), terms.max_per_window)
    verdict = rules.decide_value(value, terms)
    proof = proofs.add_value(tx, asked, value, verdict, now=now)
    if verdict.status == "accepted":
        standings.record(tx, asked.participant_id, asked.local_date, "accepted")
        reminders.clear(tx, asked.participant_id, asked.local_date, now)
    return proof
