"""Accounts for tests."""

from collections.abc import Callable
from functools import cache
from uuid import UUID

from identity import passwords
from tests.support.api import Client
from tests.support.database import Database

SignUp = Callable[..., Client]
PASSWORD = "long enough for us"


@cache
def hashed_password(number: int) -> str:
    """A hash of PASSWORD, another for every number. Hashing takes longer than all else that a sign-up does."""
    return passwords.make_hash(PASSWORD)


def insert_users(database: Database, number: int) -> list[UUID]:
    """Insert accounts without the cost of signing up."""
    rows = database.execute(
        "insert into identity.users (email, username, password_hash, timezone)"
        " select 'p' || n || '@people.test', 'p_' || n, '', 'UTC' from generate_series(1, %(number)s) n returning id",
        number=number,
    )
    return [user for (user,) in rows]
