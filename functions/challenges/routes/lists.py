"""HTTP of lists of challenges, and of the language that their rules are written in."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from starlette.responses import JSONResponse, Response

from challenges import language, rules
from challenges.queries import challenges
from challenges.queries.challenges import Challenge
from challenges.routes.shown import ChallengeOut
from chally import clock, http
from chally.http import CurrentActor, UserTx
from chally.paging import Page, PageParams, Paging
from chally.settings import HttpSettings, load

router = http.router("challenges")
SCHEMA_PATH = "/v1/challenges/rules.schema.json"


class SchemaResponse(JSONResponse):
    media_type = "application/schema+json"


@router.get("/v1/challenges")
async def discover(
    actor: CurrentActor,
    tx: UserTx,
    asked: PageParams,
    q: Annotated[
        str | None, Query(max_length=100, description="words, or beginnings of words, of the title or description")
    ] = None,
    state: Annotated[rules.ListedState | None, Query(description="only those in this runtime_state")] = None,
) -> Page[ChallengeOut]:
    """Public challenges, newest first."""
    now = clock.now()
    words = q if q and not q.isspace() else None
    rows = challenges.discover(tx, words, state, now, before=asked.after, offset=asked.offset, limit=asked.fetch)
    return _page(asked, rows, [str(row.id) for row in rows], actor, now)


@router.get("/v1/challenges/mine")
async def mine(actor: CurrentActor, tx: UserTx, asked: PageParams) -> Page[ChallengeOut]:
    """The challenges that I own, drafts too, newest first."""
    rows = challenges.mine(tx, before=asked.after, offset=asked.offset, limit=asked.fetch)
    return _page(asked, rows, [str(row.id) for row in rows], actor, clock.now())


@router.get("/v1/challenges/joined")
async def joined(actor: CurrentActor, tx: UserTx, asked: PageParams) -> Page[ChallengeOut]:
    """The challenges that I take part in, my own too; the one that I joined last comes first."""
    rows = challenges.joined(tx, before=asked.after, offset=asked.offset, limit=asked.fetch)
    return _page(asked, rows, [str(row.participant_id) for row in rows], actor, clock.now())


@router.get(SCHEMA_PATH, response_class=SchemaResponse)
async def rules_schema() -> Response:
    """The rule language as JSON Schema (draft 2020-12). It needs no sign-in."""
    schema = language.json_schema(load(HttpSettings).public_url + SCHEMA_PATH)
    return SchemaResponse(schema, headers={"cache-control": "public, max-age=3600"})


def _page(
    asked: Paging, rows: list[Challenge], positions: list[str], actor: CurrentActor, now: datetime
) -> Page[ChallengeOut]:
    return asked.page(rows, [ChallengeOut.of(row, actor.user_id, now) for row in rows], positions)
