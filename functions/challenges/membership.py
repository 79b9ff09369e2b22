"""Taking part: coming, going, coming back. A place is kept when it is left, with its dates and what was missed."""

from datetime import datetime
from uuid import UUID

from challenges import rules, windows
from challenges.queries import challenges, participants
from challenges.queries.challenges import Challenge, Count
from chally import audit
from chally.db import Tx
from chally.errors import NotFound


def join(tx: Tx, ref: str, zone: str | None, now: datetime) -> tuple[Challenge, bool]:
    """Take part, by invite code, or by the id of a public challenge; answers it, and whether the actor was not in yet.

    Whoever is in already, and whoever comes back, moves to the zone given. Raises `NotFound`, and by constraint:
    `OwnerAlreadyIn`, `Removed`, `NotActive`, `AlreadyStarted`, `Full`, `QuotaJoined`.
    """
    challenge_id, code = _reference(ref)
    place = participants.join(tx, challenge_id, code, zone, now)
    if place is None:
        raise NotFound
    if zone is not None and zone != place.timezone:
        windows.move(tx, place.participant_id, zone, now)
    if place.came:
        windows.precompute(tx, place.participant_id, now)
    return _found(challenges.counted(tx, place.challenge_id)), place.came


def join_own(tx: Tx, challenge_id: UUID, now: datetime, *, runs: bool) -> Challenge:
    """The owner's place, as the challenge is made. Raises `QuotaJoined` by constraint."""
    place = participants.join(tx, challenge_id, None, None, now)
    if place is not None and runs:  # a draft has no windows to keep yet
        windows.precompute(tx, place.participant_id, now)
    return _found(challenges.counted(tx, challenge_id))


def leave(tx: Tx, challenge_id: UUID, now: datetime) -> None:
    """Raises `NotFound`, `NotParticipant` for who never was in, and by constraint `OwnerCannotLeave`."""
    if not participants.leave(tx, challenge_id, now):
        _found(challenges.challenge(tx, challenge_id))
        raise rules.NotParticipant


def remove(tx: Tx, challenge_id: UUID, participant_id: UUID, now: datetime) -> None:
    """Take somebody out; only an invite code made later lets them in again.

    Raises `NotFound`, `NotOwner`, and by constraint `OwnerCannotLeave`.
    """
    user_id = participants.remove(tx, challenge_id, participant_id, now)
    if user_id is None:
        challenge = _found(challenges.challenge(tx, challenge_id))
        if tx.actor is None or challenge.owner_id != tx.actor.user_id:
            raise rules.NotOwner
        raise NotFound
    audit.record(tx, "participant_removed", now, user_id=user_id, challenge_id=str(challenge_id))


def counts(tx: Tx, after: UUID, limit: int) -> tuple[list[Count], UUID | None]:
    """What the next `limit` challenges say of their participants and how many there are; the last one's id."""
    found = challenges.counts(tx, after=after, limit=limit)
    return found, found[-1].challenge_id if found else None


def _reference(ref: str) -> tuple[UUID | None, str | None]:
    """An id, or else an invite code, which people may write in small letters."""
    try:
        return UUID(ref), None
    except ValueError:
        return None, ref.upper()


def _found(challenge: Challenge | None) -> Challenge:
    if challenge is None:
        raise NotFound
    return challenge
