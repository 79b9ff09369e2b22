"""What the actor may see and do in a challenge: each function returns what it finds, or raises why not."""

from uuid import UUID

from challenges import rules
from challenges.queries import challenges, participants
from challenges.queries.challenges import Challenge
from chally.db import Tx
from chally.errors import NotFound


def find(tx: Tx, challenge_id: UUID) -> Challenge:
    """Return a challenge. Raises `NotFound` if there is none that the actor may see."""
    challenge = challenges.find(tx, challenge_id)
    if challenge is None:
        raise NotFound
    return challenge


def lock_owned(tx: Tx, challenge_id: UUID) -> Challenge:
    """Return the actor's own challenge, locked until the end of the transaction. Raises `NotFound` and `NotOwner`."""
    is_owner = challenges.lock(tx, challenge_id)
    challenge = find(tx, challenge_id)
    if not is_owner:
        raise rules.NotOwner
    return challenge


def participant_id(challenge: Challenge) -> UUID:
    """Return the actor's id as a participant of a challenge. Raises `NotParticipant`."""
    if challenge.participant_id is None:
        raise rules.NotParticipant
    return challenge.participant_id


def check_roster(tx: Tx, challenge_id: UUID) -> None:
    """Raise `NotFound`, or `RosterHidden` if the actor may not see the participants."""
    find(tx, challenge_id)
    if not participants.shows_roster(tx, challenge_id):
        raise rules.RosterHidden
