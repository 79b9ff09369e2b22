"""The local AWS: MiniStack from our own environment, on 127.0.0.1, with IAM enforced.

It saves its state when it is asked to stop, and only then. So a server that ended any other way has a state from
before it started: that is thrown away, and the stack deployed anew.
"""

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from infra.bootstrap import NODE
from infra.local.progress import LocalError, tail
from infra.local.workspace import HOST, holder, port_taken

_START_SECONDS = 180
_STOP_SECONDS = 60
_ANSWER_SECONDS = 20
"""It answers in milliseconds, but not while it restores its state or unpacks many functions at once."""
_KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "LOG_LEVEL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, kw_only=True)
class MiniStack:
    """One server: the directory of its state, its port, its log file."""

    directory: Path
    port: int
    log: Path

    @property
    def url(self) -> str:
        """The endpoint for SDKs and the cdk CLI."""
        return f"http://{HOST}:{self.port}"

    @property
    def _pid_file(self) -> Path:
        return self.directory / "ministack.pid"

    def start(self) -> bool:
        """Starts the server in a session of its own and waits until it answers; False if it already ran.

        Raises LocalError when the port is taken or the server does not come up.
        """
        if self.running():
            return False
        if port_taken(self.port):
            raise LocalError(f"Port {self.port}, wanted for the local AWS, is taken by {holder(self.port)}.",
                             "Choose another: `make up PORT=4577`.")  # fmt: skip
        if self._pid_file.exists():
            shutil.rmtree(self.directory)
        temporary = self.directory / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        start = self.log.stat().st_size if self.log.exists() else 0
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # Not subprocess: it would hold on to a server that is to outlive this command.
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "ministack"],
            self._environment(temporary),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
        )
        os.close(log)
        process = psutil.Process(pid)
        self._pid_file.write_text(f"{pid} {process.create_time()}")
        self._wait(process, start)
        return True

    def stop(self) -> bool:
        """Asks the server to save its state and end; False if it did not run."""
        process = self._process()
        if process is None:
            return False
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except psutil.TimeoutExpired:
            # Its pid file stays, so that the next start does not trust the state.
            process.kill()
            process.wait(_STOP_SECONDS)
            return True
        self._pid_file.unlink(missing_ok=True)
        return True

    def alive(self) -> bool:
        """Whether the server's process is there, answering or not."""
        return self._process() is not None

    def running(self) -> bool:
        """Whether the server answers on this port; one that hangs, or has another port, is stopped."""
        if not self.alive():
            return False
        if not self._answers(timeout=_ANSWER_SECONDS):
            self.stop()
            return False
        return True

    def _process(self) -> psutil.Process | None:
        """The server by its pid file; a later process with the same number has another start time."""
        try:
            pid, created = self._pid_file.read_text().split()
            process = psutil.Process(int(pid))
            ours = abs(process.create_time() - float(created)) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, psutil.Error):
            return None
        return process if ours else None

    def _environment(self, temporary: Path) -> dict[str, str]:
        """A clean one: functions inherit it, and must see no more of this machine than they would in AWS."""
        return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | {
            # Its custom resources (a bucket's notifications, deploy triggers) are Node functions.
            "PATH": os.pathsep.join([str(NODE.parent), os.environ.get("PATH", os.defpath)]),
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(self.port),
            "AUTH": "true",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.directory / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.directory / "s3"),
            "TMPDIR": str(temporary),
        }

    def _wait(self, process: psutil.Process, start: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            if self._answers(timeout=2):
                return
            time.sleep(0.05)
        written = "".join(f"\n    {line}" for line in tail(self.log, start).splitlines()[-15:])
        raise LocalError(f"The local AWS did not come up on port {self.port}.{written}", f"Its log: {self.log}")

    def _answers(self, timeout: float) -> bool:
        try:
            with urlopen(f"{self.url}/_ministack/ready", timeout=timeout) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False
