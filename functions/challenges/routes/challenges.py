"""HTTP of one challenge: create, read, edit, change its status or its invite code."""

import secrets
from dataclasses import asdict, replace
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Response
from pydantic import Field, StringConstraints

from challenges import membership, rules, windows
from challenges.language import Rules
from challenges.queries import challenges, participants
from challenges.queries.challenges import ChallengeFields
from challenges.routes import access
from challenges.routes.models import ChallengeOut
from chally import audit, clock, db, http, limits, ratelimit
from chally.body import Body
from chally.errors import InvalidRequest
from chally.fields import Instant
from chally.http import CurrentActor, UserTx
from chally.text import SHOWN_LINE, SHOWN_TEXT
from chally.zones import Zone

router = http.router("challenges")

# Without 0/O and 1/I/L, which look alike; 31^8 is about 10^12 codes.
CODE_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
CODE_LENGTH = 8

Title = Annotated[str, StringConstraints(min_length=1, max_length=120), SHOWN_LINE]
Description = Annotated[str, Field(max_length=2000), SHOWN_TEXT]
Places = Annotated[int, Field(ge=1, le=10_000)]


class ChallengeIn(Body):
    title: Title
    description: Description = ""
    status: Literal["draft", "active"] = "draft"
    visibility: rules.Visibility = "code"
    timezone: Annotated[Zone | None, Field(description="Defaults to your account's time zone")] = None
    starts_at: Instant
    ends_at: Instant
    max_participants: Places = 100
    late_join: Annotated[
        bool,
        Field(
            description="Let people join after the start. Their dates begin with the first window that closes after "
            "they joined"
        ),
    ] = False
    roster_visibility: rules.RosterVisibility = "participants"
    rules: Rules


class ChallengeEditIn(Body):
    """The fields to change. Fields that are left out or null keep their values."""

    title: Title | None = None
    description: Description | None = None
    visibility: rules.Visibility | None = None
    roster_visibility: rules.RosterVisibility | None = None
    late_join: bool | None = None
    max_participants: Places | None = None
    timezone: Zone | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    rules: Rules | None = None


class TransitionIn(Body):
    to: rules.ChallengeStatus


async def _limit_creation(actor: CurrentActor, body: ChallengeIn) -> str:
    """Charge a challenge that can be created; a refused body is free. Return the challenge's zone."""
    now = clock.now()
    zone = body.timezone
    if zone is None:
        with db.as_user(actor, read_only=True) as tx:
            zone = participants.own_timezone(tx)
    try:
        rules.check_period(body.rules.schedule, zone=zone, starts_at=body.starts_at, ends_at=body.ends_at, now=now)
    except InvalidRequest:  # the route raises it, unless it has a stored response to replay
        return zone
    ratelimit.consume(now, actor, challenge_create=str(actor.user_id))
    return zone


ChargedZone = Annotated[str, Depends(_limit_creation)]


@router.post(
    "/v1/challenges",
    summary="Create a challenge",
    description="Create a challenge. You become its owner and first participant. You can own up to "
    f"{rules.MAX_OWNED} challenges that are neither archived nor deleted.",
    status_code=201,
)
async def create_challenge(
    body: ChallengeIn, actor: CurrentActor, zone: ChargedZone, tx: UserTx, response: Response
) -> ChallengeOut:
    now = clock.now()
    rules.check_period(body.rules.schedule, zone=zone, starts_at=body.starts_at, ends_at=body.ends_at, now=now)
    fields = ChallengeFields(
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
    challenge_id = challenges.insert(tx, fields, status=body.status, invite_code=_new_code(), now=now)
    challenge = membership.join_own(tx, challenge_id, now, is_active=body.status == "active")
    response.headers["Location"] = f"/v1/challenges/{challenge_id}"
    return ChallengeOut.of(challenge, actor.user_id, now)


@router.get("/v1/challenges/{challenge_id}", summary="Get a challenge")
async def get_challenge(challenge_id: UUID, actor: CurrentActor, tx: UserTx) -> ChallengeOut:
    """Get a challenge that is public, or that you own or take part in."""
    return ChallengeOut.of(access.find(tx, challenge_id), actor.user_id, clock.now())


@router.patch(
    "/v1/challenges/{challenge_id}",
    summary="Edit a challenge",
    dependencies=[limits.per_account("challenge_change", body=ChallengeEditIn)],
)
async def edit_challenge(challenge_id: UUID, body: ChallengeEditIn, actor: CurrentActor, tx: UserTx) -> ChallengeOut:
    """Edit your own challenge, unless it is over.

    Once it has started, `rules`, `timezone`, `starts_at` and `ends_at` can no longer change. Changing them earlier
    recomputes the windows of all participants.
    """
    now = clock.now()
    edits = {name: value for name, value in body.model_dump().items() if value is not None}
    if edits.keys() & rules.FROZEN_FIELDS:
        challenges.lock_schedule(tx, challenge_id)
    challenge = access.lock_owned(tx, challenge_id)
    before = ChallengeFields(**{name: getattr(challenge, name) for name in ChallengeFields.__dataclass_fields__})
    after = replace(before, **edits)
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
    if changed & rules.FROZEN_FIELDS:
        schedule = Rules.model_validate(after.rules).schedule
        rules.check_period(schedule, zone=after.timezone, starts_at=after.starts_at, ends_at=after.ends_at, now=now)
    if changed:
        challenges.update(tx, challenge_id, after)
        audit.record(
            tx, "challenge_edited", now, user_id=actor.user_id, challenge_id=str(challenge_id), fields=sorted(changed)
        )
    if changed & rules.FROZEN_FIELDS:
        challenges.reschedule(tx, challenge_id, after, now)
    return ChallengeOut.of(access.find(tx, challenge_id), actor.user_id, now)


@router.post(
    "/v1/challenges/{challenge_id}/transitions",
    summary="Change the status of a challenge",
    dependencies=[limits.per_account("challenge_change", body=TransitionIn)],
)
async def change_challenge_status(
    challenge_id: UUID, body: TransitionIn, actor: CurrentActor, tx: UserTx
) -> ChallengeOut:
    """Change the status of your own challenge.

    Allowed are draft to active, active to paused and back, active or paused to canceled, ended to archived, and any
    state to deleted.
    """
    now = clock.now()
    challenge = access.lock_owned(tx, challenge_id)
    state = rules.runtime_state(challenge.status, challenge.starts_at, challenge.ends_at, now)
    rules.check_transition(state, body.to, is_over=now >= challenge.ends_at)
    challenges.set_status(tx, challenge_id, body.to, now)
    if body.to == "active" and challenge.participant_id is not None:
        windows.precompute(tx, challenge.participant_id, now)
    if body.to in ("canceled", "deleted"):
        audit.record(tx, f"challenge_{body.to}", now, user_id=actor.user_id, challenge_id=str(challenge_id))
    return ChallengeOut.of(replace(challenge, status=body.to), actor.user_id, now)


@router.post(
    "/v1/challenges/{challenge_id}/invite-code",
    summary="Replace the invite code",
    dependencies=[limits.per_account("challenge_change")],
)
async def replace_invite_code(challenge_id: UUID, actor: CurrentActor, tx: UserTx) -> ChallengeOut:
    """Create a new invite code for your own challenge. The old code stops working at once."""
    now = clock.now()
    challenge = access.lock_owned(tx, challenge_id)
    code = _new_code()
    challenges.set_invite_code(tx, challenge_id, code)
    audit.record(tx, "invite_code_changed", now, user_id=actor.user_id, challenge_id=str(challenge_id))
    return ChallengeOut.of(replace(challenge, invite_code=code), actor.user_id, now)


def _new_code() -> str:
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
