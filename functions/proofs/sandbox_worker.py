"""The process that reads photos for `sandbox`: `python -m proofs.sandbox_worker`, with a socket as standard input."""

import gc
import io
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from PIL import Image

from proofs import frames, inspection
from proofs.unreadable import UnreadableImage

# What a pipe may bring: a picture of 2048 pixels and its luma.
_LONGEST = 32 * 1024 * 1024


def main() -> None:
    """Answer requests until the other end closes."""
    _warm_up()
    with socket.socket(fileno=0) as connection:
        while True:
            try:
                request, (data,) = frames.receive(connection)
            except EOFError:
                return
            connection.sendall(_in_a_fork(request, data))


def _warm_up() -> None:
    """Load what reading each format needs, so that forks find it loaded."""
    for file_format, content_type in (("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, file_format)
        inspection.inspect(file.getvalue(), content_type, strip_exif=False, read_codes=True)
    gc.collect()
    gc.freeze()


def _in_a_fork(request: dict[str, Any], data: bytes) -> bytes:
    """The message of a fork that read the photo; or which signal ended it."""
    reading, writing = os.pipe()
    fork = os.fork()
    if fork == 0:
        try:
            os.close(reading)
            answer = _read(request, data)
            with open(writing, "wb") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read(_LONGEST)
    _, status = os.waitpid(fork, 0)
    if os.WIFSIGNALED(status) or not answer:
        return frames.pack({"killed_by": os.WTERMSIG(status)})
    return answer


def _limit(processor: float, clock: float, memory: int) -> None:
    """Limit this process. The signals of the two timers end it."""
    signal.setitimer(signal.ITIMER_REAL, clock)
    signal.setitimer(signal.ITIMER_PROF, processor)  # unlike RLIMIT_CPU, it knows fractions of a second
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":  # macOS does not enforce it
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    # Decoders print what a file makes them print. It does not belong in our log.
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 2):
        os.dup2(nothing, standard)
    # It opens no file, such as the environment of the function's process with its credentials, and no connection.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _read(request: dict[str, Any], data: bytes) -> bytes:
    try:
        _limit(**request["limits"])
        header, *blobs = inspection.inspect(data, **request["photo"]).to_message()
    except UnreadableImage as error:
        return frames.pack({"refused": [error.code, error.detail]})
    except Exception:
        return frames.pack({"failed": traceback.format_exc()})
    return frames.pack(header, *blobs)


if __name__ == "__main__":
    main()
