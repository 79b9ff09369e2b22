"""The zones of the embedded Postgres: those of the package tzdata, whoever brings them, and whatever was there."""

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
    """The zones of a server of before: an older Casablanca, which other environments share, and no Troll."""
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


def test_all_are_of_the_release(server: Path, tmp_path: Path) -> None:
    assert zones.update(server)
    check(server)
    assert (tmp_path / "shared").read_bytes() == b"an older release"


def test_once(server: Path) -> None:
    zones.update(server)
    before = {path: path.stat().st_mtime_ns for path in server.rglob("*")}
    assert not zones.update(server)
    assert {path: path.stat().st_mtime_ns for path in server.rglob("*")} == before


def test_again_after_another_release_or_an_interruption(server: Path) -> None:
    zones.update(server)
    (server / ".release").write_text("2020a")
    (server / "Europe/Berlin").write_bytes(b"of then")
    assert zones.update(server)
    check(server)


def test_several_at_once_while_others_read(server: Path) -> None:
    """A reader finds the old file or the new one, never a part."""
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


def test_the_server_of_these_tests_reads_them(postgres: Postgres) -> None:
    assert (ZONES / ".release").read_text() == tzdata.IANA_VERSION
    with psycopg.connect(postgres.url()) as connection:
        known = {name for (name,) in connection.execute("select name from pg_timezone_names")}
    assert known >= set(NAMES) - {"Factory"}
    assert not any(name.startswith(".") for name in known)
