"""The local AWS: MiniStack from our virtual environment, on 127.0.0.1, with IAM enforced.

It saves its state only if it is stopped by request. After any other end the saved state is older than the stack, so it
is deleted and the stack is deployed again.
"""

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil

from infra.local.workspace import HOST, check_port
from infra.tools.bootstrap import NODE
from infra.tools.process import ToolError, tail

_START_SECONDS = 180
_STOP_SECONDS = 60
_ANSWER_SECONDS = 20
"""It usually takes milliseconds, but longer while it restores its state or unpacks many functions."""
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

    def start(self) -> bool:
        """Start the server in its own session and wait until it is ready; return False if it already runs.

        Raises ToolError if the port is in use or the server does not start.
        """
        if self.running():
            return False
        check_port(self.port, "local AWS", "Choose another: `make up PORT=4577`.")
        if self._pid_file.exists():
            shutil.rmtree(self.directory)
        temporary = self.directory / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        start = self.log.stat().st_size if self.log.exists() else 0
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # not subprocess, which would wait for a server that is meant to outlive this command
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
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready(timeout=2):
            if process.status() == psutil.STATUS_ZOMBIE or time.monotonic() > deadline:
                written = "".join(f"\n    {line}" for line in tail(self.log, start).splitlines()[-15:])
                raise ToolError(f"The local AWS did not start on port {self.port}.{written}", f"Its log: {self.log}")
            time.sleep(0.05)
        return True

    def stop(self) -> bool:
        """Ask the server to save its state and end; return False if it does not run."""
        process = self._process()
        if process is None:
            return False
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
            self._pid_file.unlink(missing_ok=True)
        except psutil.TimeoutExpired:
            # the pid file stays, so that the next start does not trust the state
            process.kill()
            process.wait(_STOP_SECONDS)
        return True

    def alive(self) -> bool:
        """Return whether the server's process exists, ready or not."""
        return self._process() is not None

    def running(self) -> bool:
        """Return whether the server is ready on this port; one that hangs, or uses another port, is stopped."""
        if not self.alive():
            return False
        if not self._is_ready(timeout=_ANSWER_SECONDS):
            self.stop()
            return False
        return True

    @property
    def _pid_file(self) -> Path:
        return self.directory / "ministack.pid"

    def _process(self) -> psutil.Process | None:
        """Return the server by its pid file. A later process with the same number has another start time."""
        try:
            pid, created = self._pid_file.read_text().split()
            process = psutil.Process(int(pid))
            ours = abs(process.create_time() - float(created)) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, psutil.Error):
            return None
        return process if ours else None

    def _environment(self, temporary: Path) -> dict[str, str]:
        """Return a clean environment: functions inherit it and must see no more of this machine than in AWS."""
        return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | {
            # CDK's custom resources (bucket notifications, deploy triggers) are Node functions
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

    def _is_ready(self, timeout: float) -> bool:
        try:
            with urlopen(f"{self.url}/_ministack/ready", timeout=timeout) as response:
                return bool(response.status == 200)
        except OSError:
            return False
