"""The nightly comparison of time zones in Postgres with those of the tzdata release that windows record."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from challenges import zones as comparison
from challenges.jobs import nightly_handler
from chally import clock, db, zones
from tests.support.api import Client, LambdaContext
from tests.support.database import Database
from tests.support.people import SignUp

Clocks = Iterator[tuple[datetime, timedelta]]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Make Python read one zone as another, as if a country had changed its rules."""
    read = zones.offsets

    def as_another(name: str, other: str) -> None:
        def offsets(asked: str, since: datetime, days: int) -> Clocks:
            return read(other if asked == name else asked, since, days)

        monkeypatch.setattr(zones, "offsets", offsets)

    return as_another


def differing(*names: str, now: datetime | None = None) -> list[str]:
    with db.as_system("test", read_only=True) as tx:
        return [zone.zone for zone in comparison.mismatches(tx, names, now or clock.now())]


@pytest.mark.long
def test_postgres_and_python_agree_on_every_zone(database: Database) -> None:
    assert differing(*sorted(zones.names())) == []


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Europe/Berlin", "Africa/Lagos"),  # as if summer time were abolished
        ("Europe/Berlin", "Europe/Istanbul"),
        ("America/New_York", "America/Havana"),  # changes at a different hour of the same night
        ("Africa/Casablanca", "Africa/Lagos"),
        ("Asia/Kolkata", "Asia/Colombo"),
    ],
)
def test_a_zone_that_differs_is_reported(
    database: Database, reads: Callable[[str, str], None], name: str, other: str
) -> None:
    reads(name, other)
    expected = [] if name == "Asia/Kolkata" else [name]  # these two zones agree
    assert differing(name, "Asia/Tokyo", "UTC") == expected


def test_a_difference_is_reported_400_days_ahead(database: Database, reads: Callable[[str, str], None]) -> None:
    """Lagos agrees with Berlin in winter; the reported instants are those of summer."""
    reads("Africa/Lagos", "Europe/Berlin")
    with db.as_system("test", read_only=True) as tx:
        now = datetime.fromisoformat("2026-11-01T00:00:00Z")
        [zone] = comparison.mismatches(tx, ["Africa/Lagos"], now)
    assert zone.first == datetime.fromisoformat("2027-03-28T01:00:00Z")
    assert zone.times > 200


def test_a_zone_unknown_to_one_side_is_reported(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    known = zones.names()
    monkeypatch.setattr(zones, "names", lambda: known | {"Europe/Atlantis"})
    monkeypatch.setattr(zones, "offsets", lambda name, since, days: iter([(since, timedelta(0))]))
    assert differing("Europe/Atlantis", "UTC", "US/Pacific-New") == ["US/Pacific-New", "Europe/Atlantis"]


def test_the_nightly_job_checks_the_zones_in_use(
    person: SignUp, reads: Callable[[str, str], None], capsys: pytest.CaptureFixture[str], logs: Callable[[], str]
) -> None:
    """Zones of accounts, participants and challenges: a log event per mismatch, and a metric with an alarm."""
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
