"""The time zones of the embedded Postgres are those of the package tzdata."""

import os
import threading
from pathlib import Path

import psycopg
import pytest
import tzdata

from infra.local import zones
from infra.local.postgres import ZONES, Postgres

PACKAGE = Path(tzdata.__file__).with_name("zoneinfo")
NAMES = (PACKAGE.with_name("zones")).read_text().split()


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """An older server's zones: an old Casablanca that is hard-linked elsewhere, and no Troll."""
    directory = tmp_path / "timezone"
    for name in ("Africa/Casablanca", "Europe/Berlin"):
        (directory / name).parent.mkdir(parents=True)
        (directory / name).write_bytes((PACKAGE / name).read_bytes())
    (directory / "Africa/Casablanca").write_bytes(b"an older release")
    os.link(directory / "Africa/Casablanca", tmp_path / "shared")
    return directory


def check(directory: Path) -> None:
    for name in NAMES:
        assert (directory / name).read_bytes() == (PACKAGE / name).read_bytes()
        assert (directory / name).stat().st_mode & 0o444 == 0o444
    files = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert files == {*NAMES, ".release"}


def test_every_zone_is_replaced_and_linked_files_are_not_changed(server: Path, tmp_path: Path) -> None:
    assert zones.update(server)
    check(server)
    assert (tmp_path / "shared").read_bytes() == b"an older release"


def test_a_second_update_changes_nothing(server: Path) -> None:
    zones.update(server)
    before = {path: path.stat().st_mtime_ns for path in server.rglob("*")}
    assert not zones.update(server)
    assert {path: path.stat().st_mtime_ns for path in server.rglob("*")} == before


def test_an_older_release_is_updated_again(server: Path) -> None:
    zones.update(server)
    (server / ".release").write_text("2020a")
    (server / "Europe/Berlin").write_bytes(b"older")
    assert zones.update(server)
    check(server)


def test_readers_never_see_a_partial_file_during_concurrent_updates(server: Path) -> None:
    whole = {b"an older release", (PACKAGE / "Africa/Casablanca").read_bytes()}
    writers = [threading.Thread(target=zones.update, args=(server,)) for _ in range(4)]
    for writer in writers:
        writer.start()
    read = set()
    while any(writer.is_alive() for writer in writers):
        read.add((server / "Africa/Casablanca").read_bytes())
    for writer in writers:
        writer.join()
    assert read <= whole
    check(server)


def test_postgres_knows_every_zone_and_not_the_stamp(postgres: Postgres) -> None:
    assert (ZONES / ".release").read_text() == tzdata.IANA_VERSION
    with psycopg.connect(postgres.url()) as connection:
        known = {name for (name,) in connection.execute("select name from pg_timezone_names")}
    assert known >= set(NAMES) - {"Factory"}
    assert not any(name.startswith(".") for name in known)
