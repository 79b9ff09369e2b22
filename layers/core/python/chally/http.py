"""HTTP, wired once: FastAPI behind Mangum, who is asking, one transaction per request, logs, errors, security headers.

A context's `routes` ends with `handler = lambda_handler(router)`.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any

import psycopg
from aws_lambda_powertools.metrics import MetricUnit
from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from mangum import Mangum
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chally import clock, context, cookies, db, idempotency, problems, redaction
from chally.access_tokens import authenticate
from chally.actor import Actor
from chally.context import RequestContext
from chally.errors import AppError, PayloadTooLarge, ServiceUnavailable, Unauthenticated
from chally.log import logger, metrics
from chally.problems import Constraints
from chally.settings import HttpSettings, load

MAX_BODY = 1_000_000
ATTEMPTS = 3  # of a request whose transaction lost a race (serialization failure, deadlock)
KEPT_HEADERS = ("content-type", "location")  # of an answer that is stored under an idempotency key
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
HSTS = "max-age=63072000; includeSubDomains"

# --- who is asking, and their transaction -----------------------------------------------------------------

_bearer = HTTPBearer(auto_error=False, description="An access token, from any call that answers a session.")


Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def actor(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Actor:
    """Who is asking, by a bearer token or by cookies. Raises `Unauthenticated`, `TwoCredentials`, `CsrfFailed`."""
    cookie = request.cookies.get(cookies.ACCESS)
    if credentials is not None and cookie is not None:
        raise cookies.TwoCredentials
    issuer = load(HttpSettings).public_url
    if cookie is not None:
        found = authenticate(cookie, issuer=issuer)
        cookies.check(request, found.csrf)
    elif credentials is not None:
        found = authenticate(credentials.credentials, issuer=issuer)
        if found.csrf is not None:  # a token for a cookie: somebody took it out of a browser
            raise Unauthenticated
    else:
        raise Unauthenticated
    logger.append_keys(user_id=str(found.user_id))
    return found


async def _actor(request: Request, credentials: Bearer) -> Actor:
    return actor(request, credentials)


CurrentActor = Annotated[Actor, Depends(_actor)]


IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255)]


async def _user_tx(
    request: Request, actor: CurrentActor, idempotency_key: IdempotencyKey = None
) -> AsyncIterator[db.Tx]:
    read_only = request.method in ("GET", "HEAD")
    with db.as_user(actor, read_only=read_only) as tx:
        if not read_only:
            await _begin(request, tx, idempotency_key)
        yield tx


async def _trusted_tx(
    request: Request, actor: CurrentActor, idempotency_key: IdempotencyKey = None
) -> AsyncIterator[db.Tx]:
    with db.as_account(actor, f"{request.method} {request.url.path}") as tx:
        await _begin(request, tx, idempotency_key)
        yield tx


async def _begin(request: Request, tx: db.Tx, idempotency_key: str | None) -> None:
    """Claim the key of a keyed write, in its transaction."""
    if idempotency_key is None:
        return
    target = f"{request.url.path}?{request.url.query}"
    request.state.recording = idempotency.begin(
        tx, idempotency_key, method=request.method, target=target, body=await request.body()
    )


async def _account_tx(request: Request, actor: CurrentActor) -> AsyncIterator[db.Tx]:
    with db.as_account(
        actor, f"{request.method} {request.url.path}", read_only=request.method in ("GET", "HEAD")
    ) as tx:
        yield tx


async def _anonymous_tx(request: Request) -> AsyncIterator[db.Tx]:
    with db.as_anonymous(read_only=request.method in ("GET", "HEAD")) as tx:
        yield tx


async def _system_tx(request: Request) -> AsyncIterator[db.Tx]:
    with db.as_system(f"{request.method} {request.url.path}") as tx:
        yield tx


# `scope="function"`: the transaction ends before the answer leaves, so a failing COMMIT is not answered with success.
UserTx = Annotated[db.Tx, Depends(_user_tx, scope="function")]
# In the caller's name with the system's rights: for what a person causes and may not write, such as a verdict. Its
# statements name the person, as row-level security would.
TrustedTx = Annotated[db.Tx, Depends(_trusted_tx, scope="function")]
# For one's own account. It records no idempotency keys: its answers hold secrets, which must not be stored.
AccountTx = Annotated[db.Tx, Depends(_account_tx, scope="function")]
AnonymousTx = Annotated[db.Tx, Depends(_anonymous_tx, scope="function")]
SystemTx = Annotated[db.Tx, Depends(_system_tx, scope="function")]


class _Route(APIRoute):
    """Stores the answer of a keyed write, inside its transaction: the stack of the dependencies is still open here."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def recorded(request: Request) -> Response:
            response = await handle(request)
            recording: idempotency.KeyedRequest | None = getattr(request.state, "recording", None)
            if recording is not None:
                kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
                body = bytes(response.body)
                idempotency.record(recording, status=response.status_code, headers=kept, body=body)
            return response

        return recorded


def router(tag: str) -> APIRouter:
    """The router of a context."""
    return APIRouter(tags=[tag], route_class=_Route)


async def _arrived(request: Request) -> datetime:
    milliseconds = request.scope.get("aws.event", {}).get("requestContext", {}).get("timeEpoch")
    now = clock.now()
    return min(now, datetime.fromtimestamp(milliseconds / 1000, UTC)) if milliseconds else now


# When the request reached the gateway: before now by as long as the function took to start.
ArrivedAt = Annotated[datetime, Depends(_arrived)]


# --- the application ---------------------------------------------------------------------------------------


class _Observed:
    """Around every request: its id and trace, a log line, metrics, the size of its body, the headers of its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        request_context = RequestContext(
            request_id=_request_id(scope),
            traceparent=context.continue_trace(request.headers.get("traceparent")),
            ip=request.client.host if request.client else None,
            user_agent=request.headers.get("user-agent", "")[:200],
        )
        with context.activate(request_context):
            await self._handle(request, request_context, receive, send)

    async def _handle(self, request: Request, request_context: RequestContext, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        scope = request.scope
        request_id, trace_id = request_context.request_id or "", request_context.traceparent.split("-")[1]
        logger.append_keys(request_id=request_id, trace_id=trace_id)
        headers = {"x-request-id": request_id} | SECURITY_HEADERS
        if load(HttpSettings).stage != "local":
            headers["strict-transport-security"] = HSTS
        status = 500

        async def send_dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                message["headers"] += [
                    (name.encode(), value.encode()) for name, value in headers.items() if name.encode() not in present
                ]
            await send(message)

        body = await receive()
        if len(body.get("body", b"")) > MAX_BODY:
            await problems.answer(request, PayloadTooLarge())(scope, receive, send_dressed)
        else:
            await self._answer(request, body, send_dressed)
        elapsed = (time.perf_counter() - began) * 1000
        route = getattr(scope.get("route"), "path", "none")
        logger.info("request", method=scope["method"], route=route, status=status, ms=round(elapsed, 1))
        metrics.add_metric("Requests", MetricUnit.Count, 1)
        metrics.add_metric("Latency", MetricUnit.Milliseconds, elapsed)
        if status >= 500:
            metrics.add_metric("ServerErrors", MetricUnit.Count, 1)

    async def _answer(self, request: Request, body: Message, send: Send) -> None:
        receive = _once(body)
        try:
            await self.app(request.scope, receive, send)
        except Exception:
            with redaction.hiding(_secrets(request, body)):
                logger.exception("unexpected error")
            await problems.answer(request, AppError())(request.scope, receive, send)


def _secrets(request: Request, body: Message) -> list[str]:
    """What a request brought under a telling name, or in its path: an error may quote it, without the name."""
    try:
        sent = json.loads(body.get("body", b""))
    except (ValueError, RecursionError):
        sent = None
    said = (sent, dict(request.query_params), dict(request.headers), {"cookies": list(request.cookies.values())})
    path = [str(part) for part in request.path_params.values()]  # ids, and invite codes
    return [*redaction.secrets_in(said), *(part for part in path if not redaction.is_id(part))]


def _once(message: Message) -> Receive:
    messages: Iterator[Message] = iter((message, {"type": "http.disconnect"}))

    async def receive() -> Message:
        return next(messages)

    return receive


def _request_id(scope: Scope) -> str:
    context = scope.get("aws.event", {}).get("requestContext", {})
    return str(context.get("requestId") or secrets.token_hex(8))


def application(router: APIRouter, constraints: Constraints) -> FastAPI:
    """The ASGI application of a context."""
    app = FastAPI(
        title="Chally",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        responses={"default": {"model": problems.Problem, "description": "An error, as application/problem+json"}},
    )
    app.add_middleware(_Observed)

    @app.exception_handler(AppError)
    async def app_error(request: Request, error: AppError) -> Response:
        return problems.answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        return problems.answer(request, problems.from_validation(error))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return problems.answer(request, problems.from_http(error))

    @app.exception_handler(psycopg.Error)
    async def database_error(request: Request, error: psycopg.Error) -> Response:
        known = problems.from_postgres(error, constraints)
        if known is None:
            raise error
        app.state.lost_race = isinstance(known, ServiceUnavailable)
        return problems.answer(request, known)

    @app.exception_handler(idempotency.ReplayResponse)
    async def replay(request: Request, replay: idempotency.ReplayResponse) -> Response:
        stored = replay.stored
        return Response(stored.body, stored.status, {**stored.headers, "Idempotent-Replayed": "true"})

    app.include_router(router)
    return app


@cache
def _event_loop() -> asyncio.AbstractEventLoop:
    """Mangum runs on the current event loop and expects one to be there."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def lambda_handler(router: APIRouter, constraints: Constraints | None = None) -> Handler:
    """The Lambda entry point of a context. `constraints` maps names of database constraints to errors."""
    _event_loop()
    app = application(router, constraints or {})
    texts = ["text/", "application/json", "application/jose", problems.MEDIA_TYPE, "image/svg+xml"]
    answer = Mangum(app, lifespan="off", text_mime_types=texts)

    @metrics.log_metrics
    @logger.inject_lambda_context(clear_state=True)
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        for _ in range(ATTEMPTS):
            app.state.lost_race = False
            response = answer(event, context)
            if not app.state.lost_race:
                break
            logger.info("lost a race; the request runs again")
        return response

    return handler
