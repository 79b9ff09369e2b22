"""Membership: joining, leaving, rejoining. A participant who leaves is kept, with their dates and missed windows."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from challenges import rules, windows, zone_change
from challenges.queries import challenges, participants
from challenges.queries.challenges import Challenge, ParticipantCount
from challenges.windows import FirstWindow
from chally import audit
from chally.db import Tx
from chally.errors import NotFound
from chally.fields import is_id
from chally.text import visible_line


@dataclass(frozen=True, slots=True)
class Joined:
    """`is_new`: the actor did not take part before. `first_window`: with this window their dates begin."""

    challenge: Challenge
    is_new: bool
    first_window: FirstWindow | None


def join(tx: Tx, ref: str, zone: str | None, now: datetime) -> Joined:
    """Join by invite code, or by the id of a public challenge.

    A zone also moves a participant who is in already or rejoins. Raises `NotFound`, and by constraint
    `OwnerAlreadyJoined`, `RemovedByOwner`, `NotActive`, `AlreadyStarted`, `ChallengeFull`, `TooManyJoined`.
    """
    challenge_id, code = _parse_reference(ref)
    joined = participants.join(tx, challenge_id, code, zone, now)
    if joined is None:
        raise NotFound
    if zone is not None and zone != joined.timezone:
        zone_change.move_participant(tx, joined.participant_id, zone, now)
    if joined.is_new:
        windows.precompute(tx, joined.participant_id, now)
    first_window = windows.first(tx, joined.participant_id)
    # the last statement, because it locks the challenge
    challenge = _existing(challenges.find_after_join(tx, joined.challenge_id))
    return Joined(challenge, joined.is_new, first_window)


def join_own(tx: Tx, challenge_id: UUID, now: datetime, *, is_active: bool) -> Challenge:
    """Make the owner a participant of a new challenge. Raises `TooManyJoined` by constraint."""
    joined = participants.join(tx, challenge_id, None, None, now)
    if joined is not None and is_active:  # a draft stores no windows
        windows.precompute(tx, joined.participant_id, now)
    return _existing(challenges.find_after_join(tx, challenge_id))


def leave(tx: Tx, challenge_id: UUID, now: datetime) -> None:
    """End the actor's participation. Leaving twice is no error.

    Raises `NotFound`, `NotParticipant` if they never took part, and by constraint `OwnerCannotLeave`.
    """
    if not participants.leave(tx, challenge_id, now):
        _existing(challenges.find(tx, challenge_id))
        raise rules.NotParticipant


def remove(tx: Tx, challenge_id: UUID, participant_id: UUID, now: datetime) -> None:
    """Remove a participant. They can only rejoin with an invite code created later.

    Raises `NotFound`, `NotOwner`, and by constraint `OwnerCannotLeave`.
    """
    user_id = participants.remove(tx, challenge_id, participant_id, now)
    if user_id is None:
        challenge = _existing(challenges.find(tx, challenge_id))
        if tx.actor is None or challenge.owner_id != tx.actor.user_id:
            raise rules.NotOwner
        raise NotFound
    audit.record(tx, "participant_removed", now, user_id=user_id, challenge_id=str(challenge_id))


def participant_counts(tx: Tx, after: UUID, limit: int) -> tuple[list[ParticipantCount], UUID | None]:
    """Return the stored and actual counts of the next `limit` challenges, in order of id, starting after `after`.

    Also return the last challenge's id, to be passed as the next `after`; None if no challenges are left.
    """
    counts = challenges.participant_counts(tx, after=after, limit=limit)
    return counts, counts[-1].challenge_id if counts else None


def _parse_reference(ref: str) -> tuple[UUID | None, str | None]:
    """Parse an id, or else an invite code, which people type in any case, with spaces and dashes, or in full width."""
    typed = visible_line(unicodedata.normalize("NFKC", ref))
    return (UUID(typed), None) if is_id(typed) else (None, "".join(filter(str.isalnum, typed)).upper())


def _existing(challenge: Challenge | None) -> Challenge:
    if challenge is None:
        raise NotFound
    return challenge
