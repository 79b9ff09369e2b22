"""A change of the account's zone, concurrent with joins that use this zone and with edits of schedules."""

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from challenges import zone_change
from challenges.queries import challenges
from chally import clock
from chally.db import Tx
from identity.queries import users
from tests.support.api import Client
from tests.support.challenges import ChallengeJson
from tests.support.concurrency import TwoTransactions, acting, joining, waits
from tests.support.database import Database
from tests.support.people import insert_users


@pytest.fixture
def mover(database: Database) -> UUID:
    return insert_users(database, 1)[0]


def change_zone(database: Database, user: UUID, between: Callable[[], None]) -> None:
    """Change the zone as PATCH /v1/me does; call `between` before the commit."""
    with psycopg.connect(database.system, autocommit=True) as connection, connection.transaction():
        tx = Tx(connection, None)
        now = clock.now()
        zone_change.move_account(tx, user, "Asia/Tokyo", now)
        users.update(
            tx, user, username=None, timezone="Asia/Tokyo", wants_reminders=None, quiet_hours=None,
            sets_quiet_hours=False, now=now,
        )  # fmt: skip
        between()


def zones_of(database: Database, user: UUID) -> list[str]:
    rows = database.execute("select timezone from challenges.participants where user_id = %(user)s", user=user)
    return [zone for (zone,) in rows]


def test_a_join_waits_for_a_change_of_the_account_zone(
    two: TwoTransactions, make: Callable[..., ChallengeJson], mover: UUID, database: Database
) -> None:
    """Otherwise the new participant would get the former zone and keep it."""
    made = make()
    waiting: list[threading.Thread] = []
    change_zone(database, mover, lambda: waiting.append(two.begin(mover, joining(made))))
    waiting[0].join()
    assert two.outcome == "joined"
    assert zones_of(database, mover) == ["Asia/Tokyo"]


def test_a_change_of_the_account_zone_waits_for_a_join(
    two: TwoTransactions, make: Callable[..., ChallengeJson], mover: UUID, database: Database
) -> None:
    made = make()
    began = threading.Event()
    pid: list[int] = []

    def move() -> None:
        with psycopg.connect(database.system, autocommit=True) as connection, connection.transaction():
            pid.append(connection.info.backend_pid)
            began.set()
            tx = Tx(connection, None)
            zone_change.move_account(tx, mover, "Asia/Tokyo", clock.now())

    moving = threading.Thread(target=move)
    with acting(two.first, mover) as tx:
        assert joining(made)(tx) == "joined"
        moving.start()
        began.wait()
        while moving.is_alive() and not waits(database, pid[0]):
            pass
    moving.join()
    assert zones_of(database, mover) == ["Asia/Tokyo"]


def test_an_edit_of_the_schedule_waits_for_a_change_of_zone(
    two: TwoTransactions, make: Callable[..., ChallengeJson], owner: Client, mover: UUID, database: Database
) -> None:
    """Otherwise windows of the old rules would be stored after the edit."""
    made = make(starts_at=(clock.now() + timedelta(hours=20)).isoformat())
    with acting(two.first, mover) as tx:
        joining(made)(tx)
    waiting: list[threading.Thread] = []

    def edit(tx: Tx) -> str:
        challenges.lock_schedule(tx, UUID(made["id"]))
        return f"{zones_of(database, mover)}"

    change_zone(database, mover, lambda: waiting.append(two.begin(UUID(owner.user["id"]), edit)))
    waiting[0].join()
    assert two.outcome == "['Asia/Tokyo']"
