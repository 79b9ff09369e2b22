"""The time zones of the embedded Postgres: brought to the release that Python reads, for its own is older."""

import os
import tempfile
from pathlib import Path

import tzdata

_STAMP = ".release"
"""Says which release a directory has. Postgres passes over names with a dot in front, so it is no zone."""


def update(directory: Path) -> bool:
    """Puts every zone of the package tzdata in place of the server's own; False where that was done before.

    Each file is replaced as a whole, for servers may run on them, and other processes may do the same just now. It is
    never written to: uv links the files of many environments to one. The stamp comes last, so that an update that was
    interrupted begins again.
    """
    stamp = directory / _STAMP
    if stamp.exists() and stamp.read_text() == tzdata.IANA_VERSION:
        return False
    package = Path(tzdata.__file__).parent
    for name in (package / "zones").read_text().split():
        _replace(directory / name, (package / "zoneinfo" / name).read_bytes())
    _replace(stamp, tzdata.IANA_VERSION.encode())
    return True


def _replace(target: Path, content: bytes) -> None:
    if target.is_file() and target.read_bytes() == content:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(dir=target.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(fresh).chmod(0o644)  # the system user reads it, too
        Path(fresh).replace(target)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
