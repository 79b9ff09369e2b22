"""Inspects photos in another process, which may crash, hang or take all its memory without harm to anything else.

`inspect` starts one worker, a Python process without our credentials, and keeps it. The worker has loaded the decoders,
and forks for each photo: the fork limits its own processor time, clock time and memory, reads that one photo, and ends.
So the same file gets the same result whatever came before it. Only bytes and JSON travel, never pickles.
"""

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from proofs import frames
from proofs.inspection import Findings
from proofs.unreadable import UnreadableImage, damaged

# A photo of 12 megapixels takes 0.2 seconds, the largest that we accept 3 seconds.
PROCESSOR_SECONDS = 8
# The fork's alarm ends it if it waits instead of computing. Later we end the worker itself, which may be starting.
CLOCK_SECONDS = 10
PATIENCE_SECONDS = 13
# A function has 1,769 MB. The largest photo takes 600 MB.
MEMORY = 1_000 * 1024 * 1024
# What the worker must not know: credentials, and the addresses of the database.
_SECRETS = ("AWS_", "CHALLY_")


class SandboxFailed(Exception):
    """The worker did not do its work, which is no fault of the photo. Retry later."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one photo may take: seconds of the processor and of the clock, and bytes of memory."""

    processor: float = PROCESSOR_SECONDS
    clock: float = CLOCK_SECONDS
    memory: int = MEMORY


def inspect(
    data: bytes, declared_type: str, *, strip_exif: bool, read_codes: bool, limits: Limits = Limits()
) -> Findings:
    """Inspect a photo within the limits. Raises `UnreadableImage`, also if it exceeds them, and `SandboxFailed`."""
    request: dict[str, object] = {
        "photo": {"declared_type": declared_type, "strip_exif": strip_exif, "read_codes": read_codes},
        "limits": asdict(limits),
    }
    try:
        answer, blobs = _ask(request, data)
    except TimeoutError:  # neither the limit nor the alarm ended it
        stop()
        raise damaged() from None
    except (ValueError, KeyError, TypeError):  # a file made the fork write something else
        stop()
        raise damaged() from None
    if "killed_by" in answer:
        raise damaged()
    if "refused" in answer:
        raise UnreadableImage(*answer["refused"])
    if "failed" in answer:
        raise SandboxFailed(str(answer["failed"]))
    return Findings.from_message(answer, *blobs)


def _ask(request: dict[str, object], data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Send a request to the worker; to a new one if it was gone, for example killed by the system."""
    for _ in range(2):
        connection = start()
        try:
            connection.sendall(frames.pack(request, data))
            return frames.receive(connection)
        except TimeoutError:
            raise
        except (OSError, EOFError):
            stop()
    raise SandboxFailed("The process that reads photos ended twice.")


def start() -> socket.socket:
    """The socket of the worker, which is started if it does not run. It loads the decoders meanwhile."""
    global _worker
    if _worker is not None and _worker.process.poll() is None:
        return _worker.connection
    stop()
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_SECONDS)
    public = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
    path = os.pathsep.join(place for place in sys.path if place)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "proofs.sandbox_worker"],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            # BLAS with threads could not be forked safely
            env=public | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
    _worker = _Worker(process, ours)
    return ours


@atexit.register
def stop() -> None:
    """End the worker and its fork at once."""
    global _worker
    if _worker is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(_worker.process.pid, signal.SIGKILL)
    _worker.process.wait()
    _worker.connection.close()
    _worker = None


@dataclass(frozen=True, slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    connection: socket.socket


_worker: _Worker | None = None
