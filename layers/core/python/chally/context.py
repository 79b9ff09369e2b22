"""The request being handled: its id, trace and origin. `chally.http` sets it, and `chally.jobs` for jobs."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What logs, audit rows and outbox messages record about the request that caused them."""

    request_id: str | None = None
    traceparent: str = ""
    ip: str | None = None
    user_agent: str | None = None


NO_REQUEST = RequestContext()
_current: ContextVar[RequestContext] = ContextVar("request_context", default=NO_REQUEST)


def current() -> RequestContext:
    """The context of the request being handled; an empty one outside of requests and jobs."""
    return _current.get()


@contextmanager
def activate(context: RequestContext) -> Iterator[RequestContext]:
    """Make it the current context inside the `with` block."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


def continue_trace(traceparent: str | None) -> str:
    """The caller's trace with a new span id. A new trace if the header is missing or invalid (W3C Trace Context)."""
    span = secrets.token_hex(8)
    if traceparent is not None and TRACEPARENT.fullmatch(traceparent):
        version, trace, _, flags = traceparent.split("-")
        return f"{version}-{trace}-{span}-{flags}"
    return f"00-{secrets.token_hex(16)}-{span}-00"
