"""HTTP of one challenge: make it, read it, edit it, move it on, change its invite code."""

import secrets
from dataclasses import asdict, replace
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Response
from pydantic import AwareDatetime, Field, StringConstraints

from challenges import membership, rules, windows
from challenges.language import Rules
from challenges.queries import challenges, participants
from challenges.queries.challenges import Terms
from challenges.routes import shown
from challenges.routes.shown import ChallengeOut
from chally import audit, clock, http, ratelimit
from chally.body import Body
from chally.http import CurrentActor, UserTx
from chally.zones import Zone

router = http.router("challenges")

# Without 0/O and 1/I/L, which people mistake for one another; 31^8 is about 10^12 codes.
CODE_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
CODE_LENGTH = 8

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
Description = Annotated[str, Field(max_length=2000)]
Places = Annotated[int, Field(ge=1, le=10_000)]


class ChallengeIn(Body):
    title: Title
    description: Description = ""
    status: Literal["draft", "active"] = "draft"
    visibility: rules.Visibility = "code"
    timezone: Annotated[Zone | None, Field(description="default: the owner's")] = None
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    max_participants: Places = 100
    late_join: bool = False
    roster_visibility: rules.RosterVisibility = "participants"
    rules: Rules


class ChallengeEditIn(Body):
    """What is to change; what is left out, or null, stays."""

    title: Title | None = None
    description: Description | None = None
    visibility: rules.Visibility | None = None
    roster_visibility: rules.RosterVisibility | None = None
    late_join: bool | None = None
    max_participants: Places | None = None
    timezone: Zone | None = None
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    rules: Rules | None = None


class TransitionIn(Body):
    to: rules.Status


async def _limit_creation(actor: CurrentActor) -> None:
    ratelimit.take(clock.now(), actor, challenge_create=str(actor.user_id))


@router.post("/v1/challenges", status_code=201, dependencies=[Depends(_limit_creation)])
async def create(body: ChallengeIn, actor: CurrentActor, tx: UserTx, response: Response) -> ChallengeOut:
    """Make a challenge; its owner takes part at once. One may own 50 that are neither archived nor deleted."""
    now = clock.now()
    zone = body.timezone or participants.own_timezone(tx)
    rules.check_period(body.rules.schedule, zone=zone, starts_at=body.starts_at, ends_at=body.ends_at, now=now)
    terms = Terms(
        title=body.title,
        description=body.description,
        visibility=body.visibility,
        roster_visibility=body.roster_visibility,
        late_join=body.late_join,
        max_participants=body.max_participants,
        timezone=zone,
        starts_at=body.starts_at,
        ends_at=body.ends_at,
        rules=body.rules.model_dump(),
    )
    challenge_id = challenges.add(tx, terms, status=body.status, invite_code=_new_code(), now=now)
    challenge = membership.join_own(tx, challenge_id, now, runs=body.status == "active")
    response.headers["Location"] = f"/v1/challenges/{challenge_id}"
    return ChallengeOut.of(challenge, actor.user_id, now)


@router.get("/v1/challenges/{challenge_id}")
async def read(challenge_id: UUID, actor: CurrentActor, tx: UserTx) -> ChallengeOut:
    """One challenge, for whoever may see it."""
    return ChallengeOut.of(shown.found(tx, challenge_id), actor.user_id, clock.now())


@router.patch("/v1/challenges/{challenge_id}")
async def edit(challenge_id: UUID, body: ChallengeEditIn, actor: CurrentActor, tx: UserTx) -> ChallengeOut:
    """Change a challenge that is not over. For its owner.

    Once it has started, its rules, timezone, starts_at and ends_at stay; before that, all windows are made anew.
    """
    now = clock.now()
    asked = {name: value for name, value in body.model_dump().items() if value is not None}
    if asked.keys() & rules.FROZEN:
        challenges.hold_schedule(tx, challenge_id)
    challenge = shown.owned(tx, challenge_id)
    before = Terms(**{name: getattr(challenge, name) for name in Terms.__dataclass_fields__})
    after = replace(before, **asked)
    changed = {name for name, value in asdict(after).items() if value != getattr(before, name)}
    rules.check_edit(
        changed,
        status=challenge.status,
        starts_at=before.starts_at,
        ends_at=before.ends_at,
        max_participants=after.max_participants,
        participant_count=challenge.participant_count,
        now=now,
    )
    if "starts_at" in changed and challenge.status != "draft":
        rules.check_new_start(after.starts_at, now)
    if changed & rules.FROZEN:
        schedule = Rules.model_validate(after.rules).schedule
        rules.check_period(schedule, zone=after.timezone, starts_at=after.starts_at, ends_at=after.ends_at, now=now)
    if changed:
        challenges.edit(tx, challenge_id, after)
        audit.record(
            tx, "challenge_edited", now, user_id=actor.user_id, challenge_id=str(challenge_id), fields=sorted(changed)
        )
    if changed & rules.FROZEN and challenge.status != "draft":  # a draft has no windows to keep yet
        windows.replan(tx, challenge_id, now)
    return ChallengeOut.of(shown.found(tx, challenge_id), actor.user_id, now)


@router.post("/v1/challenges/{challenge_id}/transitions")
async def transition(challenge_id: UUID, body: TransitionIn, actor: CurrentActor, tx: UserTx) -> ChallengeOut:
    """Move a challenge to another state. For its owner."""
    now = clock.now()
    challenge = shown.owned(tx, challenge_id)
    rules.check_transition(shown.state(challenge, now), body.to, is_over=now >= challenge.ends_at)
    challenges.set_status(tx, challenge_id, body.to, now)
    if body.to == "active" and challenge.participant_id is not None:
        windows.precompute(tx, challenge.participant_id, now)
    if body.to in ("canceled", "deleted"):
        audit.record(tx, f"challenge_{body.to}", now, user_id=actor.user_id, challenge_id=str(challenge_id))
    return ChallengeOut.of(replace(challenge, status=body.to), actor.user_id, now)


@router.post("/v1/challenges/{challenge_id}/invite-code")
async def change_invite_code(challenge_id: UUID, actor: CurrentActor, tx: UserTx) -> ChallengeOut:
    """Make a new invite code; the old one stops working at once. For the owner."""
    now = clock.now()
    challenge = shown.owned(tx, challenge_id)
    code = _new_code()
    challenges.set_invite_code(tx, challenge_id, code)
    audit.record(tx, "invite_code_changed", now, user_id=actor.user_id, challenge_id=str(challenge_id))
    return ChallengeOut.of(replace(challenge, invite_code=code), actor.user_id, now)


def _new_code() -> str:
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
