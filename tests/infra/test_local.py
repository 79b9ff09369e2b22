"""The parts of the local system with real servers: ports, locks, crashes, and the tools for developers."""

import ast
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pdqhash
import psutil
import psycopg
import pytest
from PIL import Image
from rich.console import Console

from infra.local import aws, database, stack, workspace
from infra.local.ministack import MiniStack
from infra.local.postgres import Postgres
from infra.local.workspace import Workspace, free_port
from infra.tools import bootstrap, checks, doctor, photo
from infra.tools.process import ChildFailed, ToolError, run
from infra.tools.progress import Steps
from tests.support.heic import heic

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="module")
def postgres_place(place: Path) -> Iterator[Workspace]:
    workspace = Workspace.open(place / "workspace", aws_port=0)
    yield workspace
    database.embedded(workspace).stop()


class TestWorkspace:
    def test_it_remembers_its_ports(self, tmp_path: Path) -> None:
        first = Workspace.open(tmp_path, aws_port=0)
        assert Workspace.open(tmp_path) == first

    def test_a_given_port_replaces_the_remembered_one(self, tmp_path: Path) -> None:
        Workspace.open(tmp_path, aws_port=4570)
        assert Workspace.open(tmp_path, aws_port=4571).aws_port == 4571
        assert Workspace.open(tmp_path).aws_port == 4571

    def test_its_directory_and_passwords_are_private(self, tmp_path: Path) -> None:
        place = Workspace.open(tmp_path / "new", aws_port=0)
        database.urls(place)
        assert place.directory.stat().st_mode & 0o777 == 0o700
        assert place.passwords.stat().st_mode & 0o777 == 0o600

    def test_an_invalid_port_is_refused_and_not_remembered(self, tmp_path: Path) -> None:
        with pytest.raises(ToolError, match="no port 99999"):
            Workspace.open(tmp_path, aws_port=99999)
        assert Workspace.open(tmp_path).aws_port == 4566

    def test_files_of_child_processes_are_private(self, tmp_path: Path) -> None:
        place = Workspace.open(tmp_path / "place")
        before = os.umask(0o022)
        try:
            place.restrict_permissions()
            written = place.cloud_assembly / "template.json"
            written.write_text("postgresql://…")
        finally:
            os.umask(before)
        modes = {path: path.stat().st_mode & 0o077 for path in (written, place.cloud_assembly, place.aws_directory)}
        assert set(modes.values()) == {0}

    def test_a_directory_that_is_not_writable_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ToolError, match=r"Cannot write in .*/file/below"):
            Workspace.open(tmp_path / "file" / "below")

    def test_a_full_disk_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(workspace, "_NEEDED_BYTES", 10**18)
        with pytest.raises(ToolError, match=r"GB of disk are free"):
            Workspace.open(tmp_path, aws_port=0).check_disk()

    def test_the_lock_admits_one_command_at_a_time(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(workspace, "_LOCK_SECONDS", 0.1)
        place = Workspace.open(tmp_path, aws_port=0)
        with (
            place.lock("make up"),
            pytest.raises(
                ToolError,
                match=rf"`make up` \(process {os.getpid()}\), or a cdk deploy that it started, is still running",
            ),
            place.lock("make down"),
        ):
            pass
        with place.lock("make down"):
            pass

    def test_the_lock_is_held_until_an_orphaned_deploy_ends(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(workspace, "_LOCK_SECONDS", 0.1)
        place = Workspace.open(tmp_path, aws_port=0)
        with place.lock("make up") as lock:
            deploy = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
        with pytest.raises(ToolError, match="is still running"), place.lock("make up"):
            pass
        deploy.kill()
        deploy.wait()
        with place.lock("make up"):
            pass


class TestPostgres:
    @pytest.fixture
    def server(self, postgres_place: Workspace) -> Postgres:
        server = database.embedded(postgres_place)
        server.start()
        return server

    def test_starting_a_running_server_changes_nothing(self, server: Postgres) -> None:
        assert server.running()
        assert not server.start()

    def test_the_cluster_has_checksums_the_builtin_locale_and_listens_locally(self, server: Postgres) -> None:
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("show data_checksums").fetchone() == ("on",)
            assert connection.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
            locale = "select datlocprovider::text, datlocale from pg_database where datname = 'postgres'"
            assert connection.execute(locale).fetchone() == ("b", "C.UTF-8")

    @pytest.mark.usefixtures("server")
    def test_each_role_signs_in_with_its_own_password_only(self, postgres_place: Workspace) -> None:
        database.prepare(postgres_place)
        database.prepare(postgres_place)
        urls = database.urls(postgres_place)
        with psycopg.connect(urls.app) as connection:
            assert connection.execute("select current_user, current_database()").fetchone() == ("chally_app", "chally")
        swapped = urls.app.replace("chally_app:", "chally_system:")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(swapped)

    def test_the_roles_cannot_bypass_row_level_security(self, postgres_place: Workspace, server: Postgres) -> None:
        database.prepare(postgres_place)
        with psycopg.connect(server.url()) as connection:
            roles = connection.execute(
                "select rolsuper or rolbypassrls or rolcreaterole or rolcreatedb from pg_roles where rolname = any(%s)",
                [[*database.LOGIN_ROLES]],
            ).fetchall()
        assert roles == [(False,), (False,)]

    def test_it_restarts_after_a_kill_with_its_data(self, server: Postgres) -> None:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("create table kept as select 42 as answer")
        pid = int((server.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
        assert server.start()
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("select answer from kept").fetchone() == (42,)

    def test_a_stale_pid_file_does_not_prevent_a_start(self, server: Postgres) -> None:
        server.stop()
        (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n0\n{server.port}\n\n127.0.0.1\n\n")
        assert server.start()

    def test_an_interrupted_initdb_is_repeated(self, postgres_place: Workspace) -> None:
        server = Postgres(directory=postgres_place.directory / "interrupted", port=free_port(), password="x")
        (server.directory / "data.new" / "base").mkdir(parents=True)
        server.start()
        assert server.running()
        assert server.stop()

    def test_a_port_in_use_is_reported(self, tmp_path: Path, taken_port: int) -> None:
        with pytest.raises(ToolError, match=rf"Port {taken_port} of the Postgres is in use by .*\n.*POSTGRES_PORT="):
            Postgres(directory=tmp_path, port=taken_port, password="x").start()


class TestMiniStack:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Workspace]:
        place = Workspace.open(tmp_path, aws_port=0)
        yield place
        aws.embedded(place).stop()

    def test_its_state_survives_a_stop_but_not_a_kill(self, place: Workspace) -> None:
        server = aws.embedded(place)
        assert server.start()
        assert not server.start()
        aws.client(place, "s3").create_bucket(Bucket="kept")

        assert server.stop()
        assert server.start()
        assert [bucket["Name"] for bucket in aws.client(place, "s3").list_buckets()["Buckets"]] == ["kept"]

        process = _process(server)
        process.kill()
        process.wait(10)
        assert server.start()
        assert aws.client(place, "s3").list_buckets()["Buckets"] == []

    def test_it_listens_on_the_loopback_interface_alone(self, place: Workspace) -> None:
        server = aws.embedded(place)
        server.start()
        process = _process(server)
        listening = {
            connection.laddr.ip
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}

    def test_it_does_not_inherit_the_environment(self, place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "the-company")
        monkeypatch.setenv("CHALLY_SECRET", "mine")
        server = aws.embedded(place)
        server.start()
        inherited = _process(server).environ()
        assert not {"AWS_PROFILE", "CHALLY_SECRET"} & inherited.keys()

    def test_a_port_in_use_is_reported(self, tmp_path: Path, taken_port: int) -> None:
        place = Workspace.open(tmp_path, aws_port=taken_port)
        with pytest.raises(ToolError, match=rf"Port {taken_port} of the local AWS is in use .*\n.*make up PORT=4577"):
            aws.embedded(place).start()


class TestProgress:
    def test_a_pipe_receives_plain_lines(self) -> None:
        out = io.StringIO()
        with Steps(Console(file=out)).step("Layers") as step:
            step.note = "up to date"
        assert re.fullmatch(r"  Layers +\d+\.\d s  up to date\n", out.getvalue())

    def test_a_failed_step_is_marked(self) -> None:
        out = io.StringIO()
        with pytest.raises(RuntimeError), Steps(Console(file=out)).step("Layers"):
            raise RuntimeError
        assert out.getvalue().endswith("failed\n")

    def test_a_terminal_shows_symbols_and_colours_unless_they_are_turned_off(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "xterm")
        for unwanted in ("", "1"):
            monkeypatch.setenv("NO_COLOR", unwanted)
            out = io.StringIO()
            with Steps(Console(file=out, force_terminal=True, color_system="standard")).step("Layers"):
                pass
            assert ("\x1b[32m✓" in out.getvalue()) == (not unwanted)
            assert "✓" in out.getvalue()

    def test_a_failed_child_shows_its_last_lines_and_its_log(self, tmp_path: Path) -> None:
        log = tmp_path / "logs" / "child.log"
        code = "for i in range(100): print('line', i)\nraise SystemExit(3)"
        with pytest.raises(ChildFailed) as failed:
            run([sys.executable, "-c", code], log=log)
        message = str(failed.value)
        assert "status 3" in message
        assert "line 99" in message
        assert "line 50" not in message
        assert str(log) in message

    def test_a_child_has_no_standard_input(self, tmp_path: Path) -> None:
        assert run([sys.executable, "-c", "print(repr(input.__doc__ and __import__('sys').stdin.read()))"],
                   log=tmp_path / "log").strip() == "''"  # fmt: skip


class TestBootstrap:
    @pytest.mark.parametrize(
        "name",
        [
            "infra/__init__.py",
            "infra/tools/__init__.py",
            "infra/tools/bootstrap.py",
            "infra/tools/process.py",
            "infra/tools/doctor.py",
        ],
    )
    def test_modules_used_before_the_installation_are_python_3_8(self, name: str) -> None:
        ast.parse((ROOT / name).read_text(), feature_version=(3, 8))

    def test_a_missing_network_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        nowhere = f"http://127.0.0.1:{free_port()}/simple"
        for name, value in {"PIP_INDEX_URL": nowhere, "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(bootstrap, "TOOLS", tmp_path)
        monkeypatch.setattr(bootstrap, "PINNED_UV", tmp_path / "uv" / "bin" / "uv")
        monkeypatch.setattr(bootstrap, "_LOG", tmp_path / "log")
        with pytest.raises(ToolError, match=r"Could not fetch uv .* from PyPI[\s\S]*HTTPS_PROXY"):
            bootstrap._install_uv()


class TestDoctor:
    def test_a_stopped_system_is_a_problem_with_a_fix(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("CHALLY_DATABASE_URL", "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name, raising=False)
        Workspace.open(tmp_path, aws_port=0)
        assert doctor.examine(tmp_path) == 1
        table = capsys.readouterr().out
        assert "not deployed" in table
        assert "`make up` starts it." in table

    def test_another_server_on_the_port_is_reported(
        self, tmp_path: Path, taken_port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        Workspace.open(tmp_path, aws_port=taken_port)
        assert doctor.examine(tmp_path) == 1
        assert f"port {taken_port} is in use by another process" in capsys.readouterr().out


class TestChecks:
    @pytest.mark.parametrize(
        "statement",
        [
            "create or replace function core.f() returns void",
            "CREATE VIEW core.v AS",
            "create constraint trigger t after",
            "create policy mine on core.t",
        ],
    )
    def test_a_migration_that_creates_an_object_is_refused(self, tmp_path: Path, statement: str) -> None:
        (tmp_path / "0002_more.py").write_text(f'op.execute("""\n{statement}\n""")')
        with pytest.raises(ToolError, match=r"0002_more.py:2 creates a"):
            checks.check_migrations(tmp_path)

    def test_a_migration_that_creates_a_table_is_accepted(self, tmp_path: Path) -> None:
        (tmp_path / "0002_more.py").write_text('op.execute("create table core.functions (view text)")')
        checks.check_migrations(tmp_path)


class TestPhoto:
    def test_generated_photos_differ_and_have_enough_detail(self) -> None:
        hashes = []
        for seed in range(4):
            with Image.open(io.BytesIO(photo.make(seed).content)) as image:
                bits, quality = pdqhash.compute(np.asarray(image))
            assert quality >= 50, "not enough detail for a perceptual hash"
            hashes.append(bits)
        assert min(int((one != other).sum()) for one, other in combinations(hashes, 2)) > 62

    def test_a_photo_of_an_iphone_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "run.heic").write_bytes(heic(Image.new("RGB", (64, 64))))
        assert photo.read(tmp_path / "run.heic").content_type == "image/heic"

    def test_a_file_that_is_not_a_picture_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "diary.jpg").write_text("Dear diary")
        with pytest.raises(ToolError, match="is not a JPEG, PNG, WebP or HEIC picture"):
            photo.read(tmp_path / "diary.jpg")
        with pytest.raises(ToolError, match="cannot be read"):
            photo.read(tmp_path / "missing.jpg")


def _process(server: MiniStack) -> psutil.Process:
    return psutil.Process(int((server.directory / "ministack.pid").read_text().split()[0]))


class TestScanner:
    """The virus scanner that a directory remembers."""

    def test_it_stays_on_until_it_is_turned_off(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        place = Workspace.open(tmp_path, aws_port=0)

        def known(**given: str) -> str:
            monkeypatch.delenv("CHALLY_CLAMD_URL", raising=False)
            for name, value in given.items():
                monkeypatch.setenv(name, value)
            return stack.inputs(place)["CHALLY_CLAMD_URL"]

        assert known() == ""
        assert known(CHALLY_CLAMD_URL="nonsense") == "nonsense"
        assert known() == ""  # it was never deployed
        (place.directory / "clamd-url").write_text("tcp://127.0.0.1:3310")  # as a deploy does
        assert known() == "tcp://127.0.0.1:3310"
        assert known(CHALLY_CLAMD_URL="") == ""


def test_suggested_commands_name_the_directory(tmp_path: Path) -> None:
    assert Workspace.open(tmp_path, aws_port=0).make("down") == f"`make down DIRECTORY={tmp_path.resolve()}`"
