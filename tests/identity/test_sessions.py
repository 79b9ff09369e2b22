"""Sessions whose account was deleted, and signing out with a copied or expired token."""

from datetime import timedelta

import pytest

from chally import db
from identity import sessions
from identity.rules import REFRESH_LIFE
from tests.support.refreshing import START, Direct, Request, World

HOUR = timedelta(hours=1)


def test_a_session_of_a_deleted_account_cannot_be_refreshed(world: World) -> None:
    [person] = world.people(1)
    _, token = world.sign_in(person)
    world.database.execute("update identity.users set deleted_at = now() where id = %(id)s", id=person)
    assert Direct(world.client).refresh([Request(token, START + HOUR, START + HOUR)]) == ["session_ended"]


@pytest.mark.parametrize("kind", ["copied", "expired"])
def test_a_copied_or_expired_token_signs_out_its_own_session_only(world: World, kind: str) -> None:
    [person] = world.people(1)
    first, token = world.sign_in(person)
    other, _ = world.sign_in(person)
    now = START + (HOUR if kind == "copied" else REFRESH_LIFE)
    if kind == "copied":
        Direct(world.client).refresh([Request(token, START, START)])
    with db.as_system("tests") as tx:
        sessions.end(tx, token, world.client, csrf_token=None, everywhere=True, now=now)
    assert world.end_of(first) == "signed_out"
    assert world.end_of(other) is None
