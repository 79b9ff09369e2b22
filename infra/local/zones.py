"""Update the time zones of the embedded Postgres, which are older, to the release that Python reads."""

import os
import tempfile
from pathlib import Path

import tzdata

_STAMP = ".release"
"""Names the release in a directory. Postgres ignores names that begin with a dot, so it is not a zone."""


def update(directory: Path) -> bool:
    """Replace the server's zones by those of the package tzdata; return False if that was done before.

    Each file is replaced as a whole, because running servers read them and other processes may update them at the same
    time. No file is written in place: uv hard-links one file into many environments. The stamp is written last, so an
    interrupted update starts again.
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
        Path(fresh).chmod(0o644)  # the system user that Postgres runs as reads it too
        Path(fresh).replace(target)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
