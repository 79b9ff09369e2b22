"""Time zones: every endpoint accepts the names that both Python and Postgres know, and no others."""

import json
import os
import subprocess
import sys
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tzdata
from fastapi import APIRouter

from challenges import rules
from challenges.queries import zones as queries
from chally import clock, db, zones
from chally.http import lambda_handler
from chally.jobs import job
from chally.zones import ZoneInfo
from tests.support.api import Client, Response
from tests.support.challenges import ChallengeJson, challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

# Known to Python alone, as if Postgres had an older release.
NEWER = "America/Coyhaique_New"
REFUSED = [
    "posix/Europe/Berlin",  # directories and files of a system's own
    "right/Europe/Berlin",
    "localtime",
    "posixrules",
    "US/Pacific-New",  # gone since 2020b; Postgres may still have it
    "CET",  # Postgres reads these as abbreviations
    "EST",
    "CEST",
    "Factory",
    "europe/berlin",  # Postgres ignores case
    "EUROPE/BERLIN",
    "utc",
    "uct",
    "Etc/uct",
    "UTC+3",  # POSIX, which Postgres reads
    "<+03>-3",
    "EST5EDT,M3.2.0,M11.1.0",
    "+02:00",
    "Europe/Berlin ",
    " Europe/Berlin",
    "Europe / Berlin",
    "Europe/Berlin\0",
    "\0",
    "",
    "Europe",
    "Europe/",
    "../Europe/Berlin",
    "/usr/share/zoneinfo/Europe/Berlin",
    "Europe/Berlin\n",
    "Europe/Atlantis",
    "zone.tab",
    "__init__.py",
    "x" * 65,
]
Send = Callable[[str], Response]


@pytest.fixture(params=["register", "PATCH me", "preview", "join", "create", "edit"])
def send(request: pytest.FixtureRequest, nobody: Client, person: SignUp) -> Send:
    """Sends a zone to one of the endpoints that accept one."""

    def register(zone: str) -> Response:
        body = {"email": "kari@people.test", "username": "kari", "password": "long enough for us", "timezone": zone}
        return nobody.post("/v1/auth/register", body)

    if request.param == "register":
        return register
    owner = person("owner")
    upcoming: dict[str, Any] = {"starts_at": (clock.now() + timedelta(days=2)).isoformat()}
    made: ChallengeJson = owner.post("/v1/challenges", challenge_body(clock.now(), **upcoming)).json
    member = person("member")
    endpoints: dict[str, Send] = {
        "PATCH me": lambda zone: owner.patch("/v1/me", {"timezone": zone}),
        "preview": lambda zone: member.post("/v1/me/timezone/preview", {"timezone": zone}),
        "join": lambda zone: member.post(f"/v1/challenges/{made['invite_code']}/join", {"timezone": zone}),
        "create": lambda zone: owner.post("/v1/challenges", challenge_body(clock.now(), **upcoming, timezone=zone)),
        "edit": lambda zone: owner.patch(f"/v1/challenges/{made['id']}", {"timezone": zone}),
    }
    return endpoints[request.param]


def test_every_endpoint_refuses_other_names(send: Send, database: Database) -> None:
    database.execute("update core.limits set quantity = 1000000")
    held = "select timezone from identity.users union select timezone from challenges.challenges order by 1"
    before = database.execute(held)
    for name in REFUSED:
        refused = send(name)
        assert (refused.status, refused.code) == (422, "invalid"), name
        assert [error["pointer"] for error in refused.json["errors"]] == ["/timezone"], name
    assert database.execute(held) == before


def test_every_endpoint_refuses_a_zone_that_postgres_does_not_know(
    send: Send, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    """Postgres refuses it, because it would have to compute windows in it."""
    newer = zones.names() | {NEWER}
    monkeypatch.setattr(zones, "names", lambda: newer)
    monkeypatch.setattr(rules, "ZoneInfo", lambda name: ZoneInfo("UTC" if name == NEWER else name))
    database.execute("update core.limits set quantity = 1000000")
    refused = send(NEWER)
    assert (refused.status, refused.code) == (422, "invalid"), refused.text


def test_postgres_knows_every_accepted_name(database: Database) -> None:
    """And reads none of them as an abbreviation, which it prefers to a zone, except names of UTC."""
    assert len(zones.names()) > 500
    rows = database.execute(
        "select z.name, n.name is not null, a.utc_offset from unnest(%(names)s::text[]) as z (name)"
        " left join pg_timezone_names n on n.name = z.name"
        " left join pg_timezone_abbrevs a on lower(a.abbrev) = lower(z.name)",
        names=sorted(zones.names()),
    )
    assert [name for name, known, _ in rows if not known] == []
    assert [name for name, _, offset in rows if offset] == []


# Prints the offset, in seconds, of every zone at noon of every fifth day from 2024 to 2037.
READ_EVERY_ZONE = """
import json
from datetime import UTC, datetime, timedelta
from chally import zones
days = [datetime(2024, 1, 1, 12, tzinfo=UTC) + timedelta(days=5 * n) for n in range(1020)]
read = {name: [day.astimezone(zones.ZoneInfo(name)).utcoffset() for day in days] for name in sorted(zones.names())}
print(json.dumps({name: [offset.total_seconds() for offset in offsets] for name, offsets in read.items()}))
"""


@pytest.mark.long
def test_every_zone_reads_as_in_postgres_on_a_machine_whose_own_zones_are_wrong(
    database: Database, tmp_path: Path
) -> None:
    """On that machine every zone, even UTC, is 5:45 hours ahead."""
    wrong = Path(tzdata.__file__).with_name("zoneinfo") / "Asia/Kathmandu"
    for name in (*zones.names(), *zones.AMBIGUOUS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(wrong.read_bytes())
    environment = os.environ | {"PYTHONTZPATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    printed = subprocess.run(
        [sys.executable, "-c", READ_EVERY_ZONE], env=environment, capture_output=True, text=True, check=True
    ).stdout
    read: dict[str, list[float]] = json.loads(printed)
    assert read.keys() == zones.names()
    first = datetime(2024, 1, 1, 12, tzinfo=UTC)
    clocks = [
        (name, first + timedelta(days=5 * n), timedelta(seconds=offset))
        for name, offsets in read.items()
        for n, offset in enumerate(offsets)
    ]
    with db.as_system("test", read_only=True) as tx:
        assert queries.mismatches(tx, clocks) == []


@pytest.fixture
def machine_zones() -> Iterator[None]:
    """zoneinfo reads a directory again, as after a library has called `reset_tzpath`."""
    zoneinfo.reset_tzpath(to=["/usr/share/zoneinfo"])
    yield
    zoneinfo.reset_tzpath(to=())


@pytest.mark.usefixtures("machine_zones")
def test_no_function_starts_with_zones_of_another_release() -> None:
    with pytest.raises(RuntimeError, match="read from /usr/share/zoneinfo, not from tzdata 20"):
        job(lambda event, context: None)
    with pytest.raises(RuntimeError, match="Remove the call of zoneinfo"):
        lambda_handler(APIRouter())


def test_the_release_has_ianas_name() -> None:
    assert zones.tzdata_version() == tzdata.IANA_VERSION


def test_offsets_include_the_seconds_before_and_after_a_change() -> None:
    found = dict(zones.offsets("Europe/Berlin", datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC), 40))
    assert found[datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)] == timedelta(hours=1)
    assert found[datetime(2026, 3, 29, 1, tzinfo=UTC)] == timedelta(hours=2)
    assert len(found) == 42
    assert set(found.values()) == {timedelta(hours=1), timedelta(hours=2)}
