"""A client of the real Lambda handlers: it builds API Gateway events and reads the responses."""

import base64
import importlib
import json
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from tests.support import contract

# Which function serves which path, as infra/gateway.py maps them; the most specific prefix first.
ROUTES = {
    "/v1/auth": "identity",
    "/v1/me/export": "privacy",
    "/v1/me/timezone/preview": "privacy",
    "/v1/me": "identity",
    "/v1/notifications": "privacy",
    "/v1/proofs": "proofs",
    "/v1/challenges": "challenges",
}


@dataclass(frozen=True)
class LambdaContext:
    """The parts of a Lambda context that handlers read."""

    function_name: str = "test"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:test"
    aws_request_id: str = field(default_factory=lambda: str(uuid4()))
    log_group_name: str = "/aws/lambda/test"
    log_stream_name: str = "test"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    text: str
    cookies: tuple[str, ...] = ()
    """The Set-Cookie lines."""

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The code of an RFC 9457 problem."""
        assert self.headers["content-type"] == "application/problem+json", self.text
        return str(self.json["code"])


@dataclass
class Client:
    """A caller of the API: anonymous, or signed in by `token`. It keeps cookies as a browser does."""

    token: str | None = None
    user: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    ip: str = "192.0.2.7"

    def get(self, path: str, **query: object) -> Response:
        return self.call("GET", path, query=query)

    def post(self, path: str, body: object = None, **headers: str) -> Response:
        return self.call("POST", path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def patch(self, path: str, body: object) -> Response:
        return self.call("PATCH", path, body=body)

    def delete(self, path: str, body: object = None) -> Response:
        return self.call("DELETE", path, body=body)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        raw: bytes | None = None,
        query: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        event = request_event(method, path, query or {})
        event["requestContext"]["http"]["sourceIp"] = self.ip
        event["cookies"] = [f"{name}={value}" for name, value in self.cookies.items()]
        event["headers"] |= self.headers | (headers or {})
        if self.token:
            event["headers"]["authorization"] = f"Bearer {self.token}"
        if raw is None and body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            event["headers"].setdefault("content-type", "application/json")
            event["body"] = base64.b64encode(raw).decode()
            event["isBase64Encoded"] = True
        response = read_response(
            importlib.import_module(f"{_context(method, path)}.routes").handler(event, LambdaContext())
        )
        contract.check(method, path, response.status, response.headers.get("content-type"), response.text)
        for line in response.cookies:
            jar = SimpleCookie(line)
            for name, morsel in jar.items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return response


def request_event(method: str, path: str, query: dict[str, object]) -> dict[str, Any]:
    """An HTTP API event, payload version 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": urlencode({key: str(value) for key, value in query.items()}),
        "headers": {"host": "api.test", "user-agent": "tests"},
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "t"},
            "requestId": uuid4().hex,
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }


def read_response(response: dict[str, Any]) -> Response:
    """Parse what a handler returned to API Gateway."""
    body = response.get("body") or ""
    if response.get("isBase64Encoded"):
        body = base64.b64decode(body).decode()
    headers = {name.lower(): value for name, value in response["headers"].items()}
    return Response(response["statusCode"], headers, body, tuple(response.get("cookies", ())))


def _context(method: str, path: str) -> str:
    if path == "/v1/me" and method in ("PATCH", "DELETE"):
        return "privacy"
    if path.startswith("/v1/challenges/") and path.endswith("/proofs"):
        return "proofs"
    return next((context for prefix, context in ROUTES.items() if path.startswith(prefix)), "system")
