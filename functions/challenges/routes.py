"""HTTP of challenges: make one, join it, see its windows and standings."""

import secrets
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import Path, Query, Response
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from challenges import queries, rules, windows
from challenges.language import Rules
from challenges.queries import Challenge
from chally import clock, http, paging
from chally.body import Body
from chally.errors import FieldError, Invalid, NotFound
from chally.http import CurrentActor, UserTx
from chally.paging import Page, PageAsked
from chally.zones import Zone

router = http.router("challenges")

# Without 0/O and 1/I/L, which people mistake for one another; 31^8 is about 10^12 codes.
CODE_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
CODE_LENGTH = 8
MAX_DAYS = 62


class ChallengeIn(Body):
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
    description: Annotated[str, Field(max_length=2000)] = ""
    status: Literal["draft", "active"] = "draft"
    visibility: Literal["public", "private", "code"] = "code"
    timezone: Annotated[Zone | None, Field(description="default: the owner's")] = None
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    max_participants: Annotated[int, Field(ge=1, le=10_000)] = 100
    late_join: bool = False
    roster_visibility: Literal["participants", "owner", "everyone"] = "participants"
    rules: Rules


class TransitionIn(Body):
    to: rules.Status


class JoinIn(Body):
    timezone: Annotated[Zone | None, Field(description="default: that of the account")] = None


class OwnerOut(BaseModel):
    id: UUID
    username: str


class ChallengeOut(BaseModel):
    id: UUID
    title: str
    description: str
    owner: OwnerOut
    status: rules.Status
    runtime_state: rules.RuntimeState
    visibility: Literal["public", "private", "code"]
    invite_code: Annotated[str | None, Field(description="for the owner and participants only")]
    timezone: str
    starts_at: datetime
    ends_at: datetime
    max_participants: int
    participant_count: int
    late_join: bool
    roster_visibility: Literal["participants", "owner", "everyone"]
    rules: Rules
    is_owner: bool
    is_participant: bool
    created_at: datetime

    @classmethod
    def of(cls, challenge: Challenge, reader: UUID, now: datetime) -> Self:
        is_owner = challenge.owner_id == reader
        is_participant = challenge.participant_id is not None
        return cls.model_validate(
            {
                **{name: getattr(challenge, name) for name in cls.model_fields if hasattr(challenge, name)},
                "owner": OwnerOut(id=challenge.owner_id, username=challenge.owner_username),
                "runtime_state": _state(challenge, now),
                "invite_code": challenge.invite_code if is_owner or is_participant else None,
                "is_owner": is_owner,
                "is_participant": is_participant,
            }
        )


class ParticipantOut(BaseModel):
    participant_id: UUID
    user_id: UUID
    username: str
    joined_at: datetime


class WindowOut(BaseModel):
    """One of the caller's windows. `state`: an open one takes proofs; a closed one waits for its verdict."""

    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str
    tzdata: str
    state: rules.WindowState
    proofs: list[dict[str, Any]]

    @classmethod
    def of(cls, window: windows.Window, now: datetime) -> Self:
        return cls(
            local_date=window.local_date,
            opens_at=window.opens_at,
            closes_at=window.closes_at,
            timezone=window.timezone,
            tzdata=window.tzdata,
            state=rules.window_state(window.outcome, window.opens_at, window.closes_at, now),
            proofs=window.proofs,
        )


class StandingOut(BaseModel):
    rank: int
    participant_id: UUID
    username: str
    points: int
    current_streak: int
    best_streak: int
    accepted: int
    missed: int


@router.post("/v1/challenges", status_code=201)
async def create(body: ChallengeIn, actor: CurrentActor, tx: UserTx, response: Response) -> ChallengeOut:
    """Make a challenge; its owner takes part at once."""
    now = clock.now()
    zone = body.timezone or queries.own_timezone(tx)
    rules.check_period(body.rules.schedule, zone=zone, starts_at=body.starts_at, ends_at=body.ends_at, now=now)
    challenge_id = queries.add_challenge(
        tx,
        title=body.title,
        description=body.description,
        status=body.status,
        visibility=body.visibility,
        invite_code="".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH)),
        timezone=zone,
        starts_at=body.starts_at,
        ends_at=body.ends_at,
        max_participants=body.max_participants,
        late_join=body.late_join,
        roster_visibility=body.roster_visibility,
        rules=body.rules.model_dump(),
        now=now,
    )
    _enter(tx, challenge_id, queries.own_timezone(tx), now, runs=body.status == "active")
    response.headers["Location"] = f"/v1/challenges/{challenge_id}"
    return ChallengeOut.of(_found(queries.challenge(tx, challenge_id)), actor.user_id, now)


@router.get("/v1/challenges/{challenge_id}")
async def read(challenge_id: UUID, actor: CurrentActor, tx: UserTx) -> ChallengeOut:
    """One challenge, for whoever may see it."""
    return ChallengeOut.of(_found(queries.challenge(tx, challenge_id)), actor.user_id, clock.now())


@router.post("/v1/challenges/{challenge_id}/transitions")
async def transition(challenge_id: UUID, body: TransitionIn, actor: CurrentActor, tx: UserTx) -> ChallengeOut:
    """Move a challenge to another state. For its owner."""
    now = clock.now()
    owns = queries.lock_challenge(tx, challenge_id)
    challenge = _found(queries.challenge(tx, challenge_id))
    if not owns:
        raise rules.NotOwner
    rules.check_transition(_state(challenge, now), body.to, is_over=now >= challenge.ends_at)
    queries.set_status(tx, challenge_id, body.to)
    if body.to == "active" and challenge.participant_id is not None:
        windows.precompute(tx, challenge.participant_id, now)
    after = queries.challenge(tx, challenge_id)
    return ChallengeOut.of(after or challenge, actor.user_id, now)


@router.post("/v1/challenges/{ref}/join", status_code=201, responses={200: {"model": ChallengeOut}})
async def join(
    ref: Annotated[str, Path(max_length=64, description="invite code, or the id of a public challenge")],
    actor: CurrentActor,
    tx: UserTx,
    response: Response,
    body: JoinIn | None = None,
) -> ChallengeOut:
    """Take part, by invite code, or by id where it is public. Whoever is in already only moves to the zone given."""
    now = clock.now()
    challenge = _found(_by_reference(tx, ref))
    rules.check_join(
        owner_id=challenge.owner_id,
        user_id=actor.user_id,
        state=_state(challenge, now),
        late_join=challenge.late_join,
        is_participant=challenge.participant_id is not None,
    )
    zone = body.timezone if body else None
    if challenge.participant_id is not None:
        response.status_code = 200
        if zone is not None and queries.set_timezone(tx, challenge.participant_id, zone, now):
            windows.precompute(tx, challenge.participant_id, now, moved=True)
    else:
        _enter(tx, challenge.id, zone or queries.own_timezone(tx), now, runs=True)
    return ChallengeOut.of(_found(queries.challenge(tx, challenge.id)), actor.user_id, now)


@router.get("/v1/challenges/{challenge_id}/participants")
async def participants(challenge_id: UUID, tx: UserTx, asked: PageAsked, actor: CurrentActor) -> Page[ParticipantOut]:
    """Who takes part, in the order of joining."""
    _check_roster(tx, challenge_id)
    rows = queries.roster(tx, challenge_id, after=asked.after, offset=asked.offset, limit=asked.fetch)
    items = [ParticipantOut.model_validate(row, from_attributes=True) for row in rows]
    return asked.page(rows, items, [str(row.participant_id) for row in rows])


@router.get("/v1/challenges/{challenge_id}/windows")
async def list_windows(
    challenge_id: UUID,
    tx: UserTx,
    actor: CurrentActor,
    first: Annotated[date, Query(alias="from")],
    last: Annotated[date, Query(alias="to")],
) -> Page[WindowOut]:
    """My windows of these local dates, past or future: all of them on one page."""
    if not timedelta(0) <= last - first < timedelta(days=MAX_DAYS):
        message = f"Ask for at most {MAX_DAYS} days, with `to` not before `from`."
        raise Invalid(errors=[FieldError(pointer="/query/to", message=message)])
    now = clock.now()
    found = windows.between(tx, _own_participant(tx, challenge_id), first, last, now)
    return Page(items=[WindowOut.of(window, now) for window in found], has_more=False, next_cursor=None)


@router.get("/v1/challenges/{challenge_id}/windows/current")
async def current_window(challenge_id: UUID, tx: UserTx, actor: CurrentActor) -> WindowOut:
    """My window that is open now, or else the next one."""
    now = clock.now()
    window = windows.current(tx, _own_participant(tx, challenge_id), now)
    if window is None:
        raise NotFound("This challenge has no window any more: it is over.")
    return WindowOut.of(window, now)


@router.get("/v1/challenges/{challenge_id}/standings")
async def read_standings(challenge_id: UUID, tx: UserTx, asked: PageAsked, actor: CurrentActor) -> Page[StandingOut]:
    """The standings, best first; equal points rank equally."""
    _check_roster(tx, challenge_id)
    after = None if asked.position is None else _standing_position(asked.position)
    rows = queries.standings(tx, challenge_id, after=after, offset=asked.offset, limit=asked.fetch)
    items = [StandingOut.model_validate(row, from_attributes=True) for row in rows]
    return asked.page(rows, items, [f"{row.points} {row.participant_id}" for row in rows])


def _enter(tx: UserTx, challenge_id: UUID, zone: str, now: datetime, *, runs: bool) -> None:
    participant_id = queries.add_participant(tx, challenge_id, zone, now)
    # none where the same person joined at this very moment from another device; a draft has no windows to keep yet
    if participant_id is not None and runs:
        windows.precompute(tx, participant_id, now)


def _by_reference(tx: UserTx, ref: str) -> Challenge | None:
    try:
        return queries.public_challenge(tx, UUID(ref))
    except ValueError:
        code = ref.upper()
        queries.present_code(tx, code)
        return queries.challenge_by_code(tx, code)


def _found(challenge: Challenge | None) -> Challenge:
    if challenge is None:
        raise NotFound
    return challenge


def _own_participant(tx: UserTx, challenge_id: UUID) -> UUID:
    challenge = _found(queries.challenge(tx, challenge_id))
    if challenge.participant_id is None:
        raise rules.NotParticipant
    return challenge.participant_id


def _check_roster(tx: UserTx, challenge_id: UUID) -> None:
    _found(queries.challenge(tx, challenge_id))
    if not queries.shows_roster(tx, challenge_id):
        raise rules.RosterHidden


def _state(challenge: Challenge, now: datetime) -> rules.RuntimeState:
    return rules.runtime_state(challenge.status, challenge.starts_at, challenge.ends_at, now)


def _standing_position(text: str) -> tuple[int, UUID]:
    points, _, participant_id = text.partition(" ")
    try:
        position = int(points), UUID(participant_id)
    except ValueError:
        raise paging.bad_cursor() from None
    if not 0 <= position[0] < 2**31:
        raise paging.bad_cursor()
    return position


handler = http.lambda_handler(router, queries.CONSTRAINTS)
