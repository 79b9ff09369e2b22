"""The request being handled: its id, trace and origin. Set by `chally.middleware`, and for jobs by `chally.jobs`."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class LimitCharges:
    """What a request has been charged against rate limits. Another attempt at it has these charges as credit."""

    def __init__(self) -> None:
        self._charged: list[object] = []
        self._credit: list[object] = []

    def start_attempt(self) -> None:
        self._credit = list(self._charged)

    def record(self, charge: object) -> None:
        self._charged.append(charge)

    def redeem(self, charge: object) -> bool:
        """Whether an earlier attempt has paid for this. Uses up the credit."""
        paid = charge in self._credit
        if paid:
            self._credit.remove(charge)
        return paid


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What logs, audit rows and outbox messages record about the request that caused them, and its charges."""

    request_id: str | None = None
    traceparent: str = ""
    ip: str | None = None
    user_agent: str | None = None
    charges: LimitCharges = field(default_factory=LimitCharges)

    @property
    def trace_id(self) -> str:
        """The trace's id, in hexadecimal; empty without a trace."""
        return self.traceparent[3:35]


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def current() -> RequestContext:
    """The context of the request being handled; a new, empty one outside of requests and jobs."""
    return _current.get() or RequestContext()


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
