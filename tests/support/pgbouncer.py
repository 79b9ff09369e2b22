"""A real PgBouncer. Transactions of one role share one connection, as they may behind RDS Proxy."""

import os
import subprocess
from pathlib import Path

from infra.local.workspace import free_port

PGBOUNCER = Path("/usr/sbin/pgbouncer")


class PgBouncer:
    """Transaction mode, with one connection to Postgres per role and database."""

    def __init__(self, directory: Path, postgres_port: int) -> None:
        self.port = free_port()
        (directory / "users.txt").write_text('"chally_app" "test"\n"chally_system" "test"\n')
        config = directory / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgres_port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {directory}/users.txt\n"
            "pool_mode = transaction\ndefault_pool_size = 1\nmax_client_conn = 100\n"
            "log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n"
        )
        demoted = []
        if os.geteuid() == 0:  # it refuses to run as root
            directory.chmod(0o755)
            demoted = ["--user", "nobody"]
        self._process = subprocess.Popen(
            [PGBOUNCER, *demoted, config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            if "process up" in line:
                return
        raise RuntimeError(f"pgbouncer did not start: {''.join(said)}")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
