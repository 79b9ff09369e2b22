"""Around every HTTP request: its context, body limit, retries after conflicts, log line, metrics, and headers."""

import json
import secrets
import time
from collections.abc import Iterator

from aws_lambda_powertools.metrics import MetricUnit
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chally import context, problems, redaction
from chally.context import LimitCharges, RequestContext
from chally.errors import AppError, PayloadTooLarge, TransactionConflict
from chally.log import logger, metrics
from chally.settings import HttpSettings, load

MAX_BODY = 1_000_000  # bytes
MAX_ATTEMPTS = 3
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
HSTS = "max-age=63072000; includeSubDomains"


class RequestMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        request_context = RequestContext(
            request_id=_request_id(scope),
            traceparent=context.continue_trace(request.headers.get("traceparent")),
            ip=request.client.host if request.client else None,
            user_agent=request.headers.get("user-agent", "")[:200],
            charges=LimitCharges(),
        )
        with context.activate(request_context):
            await self._respond(request_context, scope, receive, send)

    async def _respond(self, request_context: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = request_context.request_id or ""
        logger.append_keys(request_id=request_id, trace_id=request_context.trace_id)
        headers = {"x-request-id": request_id} | SECURITY_HEADERS
        if load(HttpSettings).stage != "local":
            headers["strict-transport-security"] = HSTS
        status, method = 500, scope["method"]
        if method == "HEAD":  # answered as GET, without the body
            scope = {**scope, "method": "GET"}

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                message["headers"] += [
                    (name.encode(), value.encode()) for name, value in headers.items() if name.encode() not in present
                ]
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        body = await receive()
        if len(body.get("body", b"")) > MAX_BODY:
            await problems.response(PayloadTooLarge())(scope, receive, send_with_headers)
        else:
            scope = await self._handle(request_context.charges, scope, body, send_with_headers)
        elapsed = (time.perf_counter() - started) * 1000
        route = getattr(scope.get("route"), "path", "none")
        logger.info("request", method=method, route=route, status=status, ms=round(elapsed, 1))
        metrics.add_metric("Requests", MetricUnit.Count, 1)
        metrics.add_metric("Latency", MetricUnit.Milliseconds, elapsed)
        if status >= 500:
            metrics.add_metric("ServerErrors", MetricUnit.Count, 1)

    async def _handle(self, charges: LimitCharges, scope: Scope, body: Message, send: Send) -> Scope:
        """Send the application's response; after a conflict with another transaction, try again. Returns the scope that
        routing filled in.

        This repeats nothing: the transaction was rolled back, a route has no other one that writes, and rate limits,
        which commit on their own, count a request once.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            charges.start_attempt()
            attempt_scope: Scope = {**scope, "state": {}}  # routing and dependencies write to it
            try:
                await self.app(attempt_scope, _receive_once(body), send)
            except TransactionConflict:
                logger.info("transaction_conflict", attempt=attempt)
            except Exception:
                with redaction.hiding(_secrets(Request(attempt_scope), body)):
                    logger.exception("unexpected_error")
                await problems.response(AppError())(attempt_scope, _receive_once(body), send)
                return attempt_scope
            else:
                return attempt_scope
        await problems.response(TransactionConflict())(attempt_scope, _receive_once(body), send)
        return attempt_scope


def _secrets(request: Request, body: Message) -> list[str]:
    """Values that the request sent under the name of a secret, or in its path: an error may quote them elsewhere."""
    try:
        sent = json.loads(body.get("body", b""))
    except (ValueError, RecursionError):
        sent = None
    named = (sent, dict(request.query_params), dict(request.headers), {"cookies": list(request.cookies.values())})
    path = [str(part) for part in request.path_params.values()]  # ids, and invite codes
    return [*redaction.secrets_in(named), *(part for part in path if not redaction.is_id(part))]


def _receive_once(message: Message) -> Receive:
    messages: Iterator[Message] = iter((message, {"type": "http.disconnect"}))

    async def receive() -> Message:
        return next(messages)

    return receive


def _request_id(scope: Scope) -> str:
    event_context = scope.get("aws.event", {}).get("requestContext", {})
    return str(event_context.get("requestId") or secrets.token_hex(8))
