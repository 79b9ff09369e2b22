"""Cookie transport, for browsers: tokens that scripts cannot read, and a CSRF token that other sites cannot.

`__Host-` pins the cookies to this host over TLS. The access token carries a digest of the CSRF token, so that the
double submit is bound to the session and every function can check it without a key.
"""

import hashlib
import hmac
from datetime import timedelta

from fastapi import Request
from starlette.responses import Response

from chally import base64url
from chally.errors import AppError

ACCESS, REFRESH, CSRF = "__Host-access", "__Host-refresh", "__Host-csrf"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class CsrfFailed(AppError):
    status = 403
    code = "csrf_failed"
    detail = "Send the value of the cookie __Host-csrf as X-CSRF-Token with every call that changes something."


class TwoCredentials(AppError):
    status = 400
    code = "two_credentials"
    detail = "Send either a bearer token or cookies, never both."


def digest(csrf_token: str) -> str:
    """What an access token says of the CSRF token it goes with."""
    return base64url.encode(hashlib.sha256(csrf_token.encode()).digest())


def csrf_token(request: Request) -> str:
    """The token that came twice, as cookie and as header. Raises `CsrfFailed` where it did not."""
    cookie, header = request.cookies.get(CSRF, ""), request.headers.get("x-csrf-token", "")
    if not cookie or not hmac.compare_digest(cookie.encode(), header.encode()):
        raise CsrfFailed
    return cookie


def check(request: Request, expected_digest: str | None) -> None:
    """Raise `CsrfFailed` when a cookie authenticates a call that changes something, without its CSRF token."""
    if expected_digest is None:  # a token for bearers, put into a cookie
        raise CsrfFailed
    if request.method not in SAFE_METHODS and not hmac.compare_digest(digest(csrf_token(request)), expected_digest):
        raise CsrfFailed


def put(response: Response, name: str, value: str, life: timedelta) -> None:
    """Set a cookie of ours. Only the CSRF token may be read by scripts."""
    response.set_cookie(
        name,
        value,
        max_age=int(life.total_seconds()),
        path="/",
        secure=True,
        httponly=name != CSRF,
        samesite="strict",
    )


def clear(response: Response) -> None:
    """Take back all of them."""
    for name in (ACCESS, REFRESH, CSRF):
        response.delete_cookie(name, path="/", secure=True, httponly=name != CSRF, samesite="strict")
