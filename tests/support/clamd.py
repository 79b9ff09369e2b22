"""A real clamd with two signatures, and servers that only pretend to be one."""

import os
import signal
import socketserver
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from infra.local.workspace import free_port

CLAMD = Path("/usr/sbin/clamd")

# The test string of EICAR (https://www.eicar.org/download-anti-malware-testfile/), in two halves, so that malware
# scanners do not flag this repository.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
COMMENT = b"what chally's tests take for malware"
STREAM_MAX = 2_000_000

_SIGNATURES = f"Chally.Eicar:0:0:{EICAR.hex()}\nChally.Comment:0:*:{COMMENT.hex()}\n"


class Clamd:
    """It listens on a TCP port and a socket. Tests can halt, resume and kill it."""

    def __init__(self, directory: Path) -> None:
        signatures = directory / "signatures"
        signatures.mkdir()
        (signatures / "chally.ndb").write_text(_SIGNATURES)
        port = free_port()
        self.tcp, self.unix = f"tcp://127.0.0.1:{port}", f"unix://{directory}/clamd"
        config = directory / "clamd.conf"
        config.write_text(
            f"Foreground yes\nTCPAddr 127.0.0.1\nTCPSocket {port}\nLocalSocket {directory}/clamd\n"
            f"DatabaseDirectory {signatures}\nTemporaryDirectory {directory}\nStreamMaxLength {STREAM_MAX}\n"
        )
        self._process = subprocess.Popen(
            [CLAMD, f"--config-file={config}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if line.startswith("Self checking"):  # the last line before it accepts connections
                return
        raise RuntimeError(f"clamd did not start: {''.join(said)}")

    def halt(self) -> None:
        """Make it accept connections without responding."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def answering(words: bytes | None) -> Iterator[str]:
    """The URL of a server that reads a whole stream, replies `words` and closes; for None it never replies."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            assert self.rfile.readline() == b"nINSTREAM\n"
            while size := int.from_bytes(self.rfile.read(4)):
                self.rfile.read(size)
            if words is None:
                self.rfile.read()  # until the client closes
            else:
                self.wfile.write(words)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
