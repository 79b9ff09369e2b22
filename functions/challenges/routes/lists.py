"""HTTP of lists of challenges, and of the JSON Schema of their rules."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from starlette.responses import JSONResponse, Response

from challenges import language, rules, words
from challenges.queries import challenges
from challenges.queries.challenges import Challenge
from challenges.routes.models import ChallengeOut
from chally import clock, http
from chally.http import CurrentActor, UserTx
from chally.paging import Page, PageParams, Paging
from chally.settings import HttpSettings, load
from chally.text import SHOWN_LINE

router = http.router("challenges")
SCHEMA_PATH = "/v1/challenges/rules.schema.json"


class SchemaResponse(JSONResponse):
    media_type = "application/schema+json"


@router.get("/v1/challenges", summary="List public challenges")
async def list_public_challenges(
    actor: CurrentActor,
    tx: UserTx,
    paging: PageParams,
    q: Annotated[
        str | None,
        Query(
            max_length=100,
            description="Words, or beginnings of words, in the title or description, in any script. Case and accents do"
            " not matter.",
        ),
        SHOWN_LINE,
    ] = None,
    state: Annotated[rules.ListedState | None, Query(description="Only challenges in this runtime_state")] = None,
) -> Page[ChallengeOut]:
    """List public challenges, newest first, optionally those that match words or a state."""
    now = clock.now()
    query = words.query(q) if q else None
    rows = challenges.discover(
        tx, query, state, now, before=paging.after, offset=paging.offset, limit=paging.fetch_limit
    )
    return _page(paging, rows, [str(row.id) for row in rows], actor, now)


@router.get("/v1/challenges/mine", summary="List your own challenges")
async def list_my_challenges(actor: CurrentActor, tx: UserTx, paging: PageParams) -> Page[ChallengeOut]:
    """List the challenges that you own, including drafts, newest first."""
    rows = challenges.list_owned(tx, before=paging.after, offset=paging.offset, limit=paging.fetch_limit)
    return _page(paging, rows, [str(row.id) for row in rows], actor, clock.now())


@router.get("/v1/challenges/joined", summary="List the challenges you joined")
async def list_joined_challenges(actor: CurrentActor, tx: UserTx, paging: PageParams) -> Page[ChallengeOut]:
    """List the challenges that you take part in, including your own, the one joined last first."""
    rows = challenges.list_joined(tx, before=paging.after, offset=paging.offset, limit=paging.fetch_limit)
    return _page(paging, rows, [str(row.participant_id) for row in rows], actor, clock.now())


@router.get(SCHEMA_PATH, summary="Get the JSON Schema of rules", response_class=SchemaResponse)
async def get_rules_schema() -> Response:
    """Get the rule language as JSON Schema (draft 2020-12). No sign-in required."""
    schema = language.json_schema(load(HttpSettings).public_url + SCHEMA_PATH)
    return SchemaResponse(schema, headers={"cache-control": "public, max-age=3600"})


def _page(
    paging: Paging, rows: list[Challenge], positions: list[str], actor: CurrentActor, now: datetime
) -> Page[ChallengeOut]:
    return paging.page(rows, [ChallengeOut.of(row, actor.user_id, now) for row in rows], positions)
