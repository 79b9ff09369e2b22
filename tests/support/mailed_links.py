"""Links in mails, as a client requests and follows them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.support.api import Client, Response
from tests.support.database import Database

PASSWORD = "long enough for us"
NEW_PASSWORD = "four words in a row"
Mails = Callable[[], list[dict[str, Any]]]
REQUEST_PATHS = {"magic_link": "/v1/auth/magic-link", "password_reset": "/v1/auth/password/forgot"}
CONFIRM_PATHS = {
    "magic_link": "/v1/auth/magic-link/verify",
    "password_reset": "/v1/auth/password/reset",
    "email_change": "/v1/auth/email/confirm",
    "unlock": "/v1/auth/unlock",
}


def request_link(purpose: str, email: str = "kari@people.test") -> Response:
    return Client().post(REQUEST_PATHS[purpose], {"email": email})


def follow_link(purpose: str, token: str, **more: object) -> Response:
    if purpose == "password_reset":
        more.setdefault("password", NEW_PASSWORD)
    return Client().post(CONFIRM_PATHS[purpose], {"token": token, **more})


def log_in(password: str, name: str = "kari") -> Response:
    return Client().post("/v1/auth/login", {"login": name, "password": password})


def newest_mail(mails: Mails, template: str) -> dict[str, Any]:
    return next(mail for mail in reversed(mails()) if mail["template"] == template)


def mailed_token(mails: Mails, template: str) -> str:
    return str(newest_mail(mails, template)["values"]["token"])


def audited_actions(database: Database) -> list[str]:
    return [action for (action,) in database.execute("select action from core.audit order by id")]


def public_part(response: Response) -> tuple[int, str, dict[str, str]]:
    """The part of a response that must be the same for every caller."""
    return response.status, response.text, {name: v for name, v in response.headers.items() if name != "x-request-id"}


@contextmanager
def record_statements() -> Iterator[list[bytes]]:
    """Every statement sent meanwhile, without its values."""
    sent: list[bytes] = []
    execute = psycopg.Cursor.execute

    def recorded(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(query if isinstance(query, bytes) else str(query).encode())
        return execute(self, query, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", recorded)
        yield sent


def turn_on_totp(database: Database, client: Client) -> None:
    """Turns on an authenticator app whose codes are never needed."""
    database.execute(
        "insert into identity.totp (user_id, sealed_secret, created_at, confirmed_at)"
        " values (%(user_id)s, %(secret)s, now(), now())",
        user_id=client.user["id"],
        secret=uuid4().bytes,
    )
