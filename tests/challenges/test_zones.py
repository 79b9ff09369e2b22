"""The nightly comparison of clocks: Postgres's against those of the release that windows say they are of."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from challenges import zones as comparison
from challenges.jobs import nightly_handler
from chally import clock, db, zones
from tests.support import zone_clocks
from tests.support.api import Client, LambdaContext
from tests.support.database import Database
from tests.support.people import SignUp

Clocks = Iterator[tuple[datetime, timedelta]]


@pytest.fixture(autouse=True)
def package() -> Iterator[None]:
    """As in Lambda, whose image has no zones of its own."""
    with zone_clocks.of(None):
        yield


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Has Python read the clocks of one zone as those of another, as if a country had thought again."""
    read = zones.offsets

    def as_another(name: str, other: str) -> None:
        def offsets(asked: str, since: datetime, days: int) -> Clocks:
            return read(other if asked == name else asked, since, days)

        monkeypatch.setattr(zones, "offsets", offsets)

    return as_another


def differing(*names: str, now: datetime | None = None) -> list[str]:
    with db.as_system("test", read_only=True) as tx:
        return [zone.zone for zone in comparison.mismatches(tx, names, now or clock.now())]


def test_the_two_agree_on_every_zone(database: Database) -> None:
    assert differing(*sorted(zones.names())) == []


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Europe/Berlin", "Africa/Lagos"),  # summer time was ended
        ("Europe/Berlin", "Europe/Istanbul"),
        ("America/New_York", "America/Havana"),  # at another hour of the same night
        ("Africa/Casablanca", "Africa/Lagos"),
        ("Asia/Kolkata", "Asia/Colombo"),
    ],
)
def test_a_zone_that_differs_is_found(
    database: Database, reads: Callable[[str, str], None], name: str, other: str
) -> None:
    reads(name, other)
    expected = [] if name == "Asia/Kolkata" else [name]  # those two read alike
    assert differing(name, "Asia/Tokyo", "UTC") == expected


def test_it_differs_once_the_day_comes_within_400(database: Database, reads: Callable[[str, str], None]) -> None:
    """Lagos reads as Berlin in winter: what is found are the instants of summer."""
    reads("Africa/Lagos", "Europe/Berlin")
    with db.as_system("test", read_only=True) as tx:
        now = datetime.fromisoformat("2026-11-01T00:00:00Z")
        [zone] = comparison.mismatches(tx, ["Africa/Lagos"], now)
    assert zone.first == datetime.fromisoformat("2027-03-28T01:00:00Z")
    assert zone.times > 200


def test_what_one_of_the_two_has_lost_differs(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    known = zones.names()
    monkeypatch.setattr(zones, "names", lambda: known | {"Europe/Atlantis"})
    monkeypatch.setattr(zones, "offsets", lambda name, since, days: iter([(since, timedelta(0))]))
    assert differing("Europe/Atlantis", "UTC", "US/Pacific-New") == ["US/Pacific-New", "Europe/Atlantis"]


def test_every_night_the_zones_in_use(
    person: SignUp, reads: Callable[[str, str], None], capsys: pytest.CaptureFixture[str], logs: Callable[[], str]
) -> None:
    """Of people, places and challenges; a log line for each that differs, and a metric that an alarm watches."""
    kari: Client = person("kari", "Asia/Tokyo")
    assert kari.get("/v1/me").status == 200
    reads("Europe/Oslo", "Africa/Lagos")
    assert nightly_handler({}, LambdaContext())["zones_differ"] == 0
    capsys.readouterr()
    reads("Asia/Tokyo", "Asia/Manila")
    assert nightly_handler({}, LambdaContext())["zones_differ"] == 1
    assert '"zone":"Asia/Tokyo"' in logs()
    metric = next(json.loads(line) for line in capsys.readouterr().out.splitlines() if "ZonesDiffer" in line)
    assert metric["ZonesDiffer"] == [1.0]
