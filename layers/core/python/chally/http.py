"""HTTP: FastAPI behind Mangum, the actor and the transaction of a request, and the Lambda entry point of a context.

A context's `routes` ends with `handler = lambda_handler(router)`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from mangum import Mangum
from starlette.exceptions import HTTPException
from starlette.responses import Response

from chally import clock, cookies, db, idempotency, problems, zones
from chally.access_tokens import authenticate
from chally.actor import Actor
from chally.errors import AppError, TransactionConflict, Unauthenticated
from chally.log import logger, metrics
from chally.methods import Methods
from chally.middleware import RequestMiddleware
from chally.problems import Constraints
from chally.route import Route
from chally.settings import HttpSettings, load

# --- the actor and the transaction --------------------------------------------------------------------------

_bearer = HTTPBearer(auto_error=False, description="An access token, from any call that returns a session.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def actor(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Actor:
    """The caller, authenticated by a bearer token or by cookies.

    Raises `Unauthenticated`, `AmbiguousCredentials`, `CsrfFailed`.
    """
    cookie = request.cookies.get(cookies.ACCESS)
    if credentials is not None and cookie is not None:
        raise cookies.AmbiguousCredentials
    issuer = load(HttpSettings).public_url
    if cookie is not None:
        found = authenticate(cookie, issuer=issuer)
        cookies.check_csrf(request, found.csrf)
    elif credentials is not None:
        found = authenticate(credentials.credentials, issuer=issuer)
        if found.csrf is not None:  # issued for a cookie: it was copied out of a browser
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
            await _claim_key(request, tx, idempotency_key)
        yield tx


async def _trusted_tx(
    request: Request, actor: CurrentActor, idempotency_key: IdempotencyKey = None
) -> AsyncIterator[db.Tx]:
    with db.as_account(actor, f"{request.method} {request.url.path}") as tx:
        await _claim_key(request, tx, idempotency_key)
        yield tx


async def _claim_key(request: Request, tx: db.Tx, idempotency_key: str | None) -> None:
    """Claim the idempotency key, if the request has one, in the request's transaction."""
    if idempotency_key is None:
        return
    target = f"{request.url.path}?{request.url.query}"
    request.state.keyed_request = idempotency.claim(
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


# `scope="function"` ends the transaction before the response is sent, so a failed COMMIT is not reported as success.
UserTx = Annotated[db.Tx, Depends(_user_tx, scope="function")]
# As the caller with the system's rights, for rows that a person causes but may not write, such as a verdict. Its
# statements must filter by the person, as row-level security would.
TrustedTx = Annotated[db.Tx, Depends(_trusted_tx, scope="function")]
# For the caller's account. Ignores idempotency keys: these responses hold secrets, which must not be stored.
AccountTx = Annotated[db.Tx, Depends(_account_tx, scope="function")]
AnonymousTx = Annotated[db.Tx, Depends(_anonymous_tx, scope="function")]
SystemTx = Annotated[db.Tx, Depends(_system_tx, scope="function")]


def router(tag: str) -> APIRouter:
    """The router of a context."""
    return APIRouter(tags=[tag], route_class=Route)


async def _arrived_at(request: Request) -> datetime:
    milliseconds = request.scope.get("aws.event", {}).get("requestContext", {}).get("timeEpoch")
    now = clock.now()
    return min(now, datetime.fromtimestamp(milliseconds / 1000, UTC)) if milliseconds else now


# When the gateway received the request: earlier than now by the function's cold start.
ArrivedAt = Annotated[datetime, Depends(_arrived_at)]


# --- the application ----------------------------------------------------------------------------------------


def _operation_id(route: APIRoute) -> str:
    """The name of a route's function in camel case, as client generators expect it."""
    first, *words = route.name.split("_")
    return first + "".join(word.title() for word in words)


def application(
    router: APIRouter, constraints: Constraints, elsewhere: Mapping[str, Sequence[str]] | None = None
) -> FastAPI:
    """The ASGI application of a context. `elsewhere`: methods of its paths that another function serves."""
    app = FastAPI(
        title="Chally",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        responses={"default": {"model": problems.Problem, "description": "An error, as application/problem+json"}},
    )
    app.state.methods = Methods(router, elsewhere or {})
    app.add_middleware(RequestMiddleware)

    @app.exception_handler(AppError)
    async def app_error(request: Request, error: AppError) -> Response:
        return problems.response(error)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        return problems.response(problems.from_validation(error))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return problems.response(problems.from_http(error, allow=app.state.methods.of(request.url.path)))

    @app.exception_handler(psycopg.Error)
    async def database_error(request: Request, error: psycopg.Error) -> Response:
        client_error = problems.from_postgres(error, constraints)
        if client_error is None:
            raise error
        if isinstance(client_error, TransactionConflict):
            raise client_error from error
        return problems.response(client_error)

    @app.exception_handler(TransactionConflict)
    async def conflict(request: Request, error: TransactionConflict) -> Response:
        raise error  # the middleware retries the request

    @app.exception_handler(idempotency.ReplayResponse)
    async def replay(request: Request, replay: idempotency.ReplayResponse) -> Response:
        stored = replay.stored
        return Response(stored.body, stored.status, {**stored.headers, "Idempotent-Replayed": "true"})

    app.include_router(router)
    return app


@cache
def _event_loop() -> asyncio.AbstractEventLoop:
    """Mangum runs on the current event loop and expects that there is one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def lambda_handler(
    router: APIRouter,
    constraints: Constraints | None = None,
    elsewhere: Mapping[str, Sequence[str]] | None = None,
) -> Handler:
    """The Lambda entry point of a context.

    `constraints` maps names of database constraints to errors. `elsewhere`: see `application`.
    """
    zones.check_release()
    _event_loop()
    app = application(router, constraints or {}, elsewhere)
    texts = ["text/", "application/json", "application/jose", problems.MEDIA_TYPE, "image/svg+xml"]
    respond = Mangum(app, lifespan="off", text_mime_types=texts)

    @metrics.log_metrics
    @logger.inject_lambda_context(clear_state=True)
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return respond(event, context)

    return handler
