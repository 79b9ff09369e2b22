"""HTTP of the system: health, version, public keys, and documentation."""

from typing import Annotated, Any, Literal

import psycopg
from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.responses import HTMLResponse, JSONResponse, Response

from chally import access_tokens, aws, clock, db, http
from chally.actor import check_role
from chally.errors import NotFound, ServiceUnavailable
from chally.log import logger
from chally.settings import HttpSettings, SystemSettings, load
from system import docs

router = http.router("system")

CheckStatus = Literal["ok", "unreachable", "not configured", "clamd", "guardduty"]


class LiveOut(BaseModel):
    status: Literal["ok"] = "ok"


class ReadyOut(BaseModel):
    """`ok` if every dependency in `checks` responds. `malware` names the scanner of uploads, which is not called."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, CheckStatus]


class VersionOut(BaseModel):
    version: str
    commit: str
    stage: str


class KeysOut(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]]


@router.get("/live", summary="Check liveness")
async def check_liveness() -> LiveOut:
    """Whether the process runs."""
    return LiveOut()


@router.get("/health", summary="Check readiness", operation_id="checkHealth", responses={503: {"model": ReadyOut}})
@router.get("/ready", summary="Check readiness", responses={503: {"model": ReadyOut}})
async def check_readiness(response: Response) -> ReadyOut:
    """Whether every dependency responds; 503 if one does not, named in `checks`."""
    settings = load(SystemSettings)
    scanner = settings.malware_scanner
    checks: dict[str, CheckStatus] = {
        "database": _database(),
        "outbox_queue": _queue(settings.outbox_queue_url),
        "verdicts_queue": _queue(settings.verdicts_queue_url),
        # Not called: while the scanner is down, only uploads wait.
        "malware": "not configured" if scanner == "none" else scanner,
    }
    if "unreachable" not in checks.values():
        return ReadyOut(status="ok", checks=checks)
    response.status_code = 503
    return ReadyOut(status="unavailable", checks=checks)


@router.get("/version", summary="Read the version")
async def get_version() -> VersionOut:
    """The deployed version, commit and stage."""
    settings = load(SystemSettings)
    return VersionOut(version=settings.version, commit=settings.commit, stage=settings.stage)


@router.get("/.well-known/jwks.json", summary="Read the public keys")
async def get_public_keys(response: Response) -> KeysOut:
    """The public keys that verify our access tokens (RS256) and receipts (ES256)."""
    response.headers["cache-control"] = f"public, max-age={int(access_tokens.KEYS_MAX_AGE)}"
    return KeysOut(keys=[key.jwk for key in access_tokens.public_keys()])


@router.get(
    "/.well-known/change-password",
    summary="Find the page for changing a password",
    status_code=302,
    response_class=Response,
)
async def find_password_page() -> Response:
    """Redirect to the page for setting a new password. Password managers look for it here (W3C)."""
    page = load(HttpSettings).public_url + "/v1/auth/password/forgot"
    return Response(status_code=302, headers={"location": page})


async def _check_reader(request: Request, credentials: http.Bearer) -> None:
    """In prod, only admins can read the documentation; in other stages, anyone can."""
    if load(SystemSettings).stage != "prod":
        return
    with db.as_user(http.actor(request, credentials), read_only=True) as tx:
        check_role(tx.session, "admin")


Reader = Annotated[None, Depends(_check_reader)]


@router.get("/openapi.json", summary="Read the OpenAPI document", response_class=JSONResponse)
async def get_openapi(reader: Reader) -> Response:
    """The OpenAPI document of the API."""
    document = docs.openapi(load(HttpSettings).public_url, clock.now().date())
    return Response(document, media_type="application/json")


@router.get("/docs", summary="Read the API reference", response_class=HTMLResponse)
async def get_docs(reader: Reader) -> HTMLResponse:
    """The API reference as a web page."""
    return HTMLResponse(docs.PAGE, headers={"content-security-policy": docs.POLICY})


@router.get("/docs/{name}", summary="Read a file of the API reference", response_class=Response)
async def get_docs_file(name: str) -> Response:
    """A file of the API reference."""
    if name not in docs.TYPES:
        raise NotFound
    headers = {"cache-control": "public, max-age=86400"}
    return Response(docs.asset(name), media_type=docs.TYPES[name], headers=headers)


def _database() -> CheckStatus:
    try:
        with db.as_anonymous(read_only=True) as tx:
            tx.value("select 1", {})
    except (psycopg.Error, ServiceUnavailable):
        logger.exception("database_unreachable")
        return "unreachable"
    return "ok"


def _queue(url: str) -> CheckStatus:
    try:
        aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    except Exception:
        logger.exception("queue_unreachable", queue=url)
        return "unreachable"
    return "ok"


handler = http.lambda_handler(router)
