"""Cookies for browsers: tokens that scripts cannot read, and a CSRF token that other sites cannot read.

`__Host-` pins the cookies to this host over TLS. The access token carries a digest of the CSRF token, which binds the
double submit to the session; every function can check it without a key.
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
    detail = "Send the value of the cookie __Host-csrf in the header X-CSRF-Token, except with GET and HEAD."


class AmbiguousCredentials(AppError):
    status = 400
    code = "two_credentials"
    detail = "Send either a bearer token or cookies, not both."


def csrf_digest(csrf_token: str) -> str:
    """The digest of a CSRF token, for the claim `csrf` of an access token."""
    return base64url.encode(hashlib.sha256(csrf_token.encode()).digest())


def csrf_token(request: Request) -> str:
    """The token that the request carries both as cookie and as header. Raises `CsrfFailed` if they differ."""
    cookie, header = request.cookies.get(CSRF, ""), request.headers.get("x-csrf-token", "")
    if not cookie or not hmac.compare_digest(cookie.encode(), header.encode()):
        raise CsrfFailed
    return cookie


def check_csrf(request: Request, expected_digest: str | None) -> None:
    """Raise `CsrfFailed` if a cookie authenticates a request that may change something without the CSRF token."""
    if expected_digest is None:  # issued as a bearer token and put into a cookie
        raise CsrfFailed
    if request.method in SAFE_METHODS:
        return
    if not hmac.compare_digest(csrf_digest(csrf_token(request)), expected_digest):
        raise CsrfFailed


def set_cookie(response: Response, name: str, value: str, life: timedelta) -> None:
    """Set one of our cookies. Scripts may read only the CSRF token."""
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
    """Delete all our cookies."""
    for name in (ACCESS, REFRESH, CSRF):
        response.delete_cookie(name, path="/", secure=True, httponly=name != CSRF, samesite="strict")
