"""Clients generated from the description do the main job against the running API, in Python and in TypeScript."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.tools import npm
from infra.tools.bootstrap import NODE, ROOT, environment, uv
from system.docs import OPENAPI
from tests.support.people import PASSWORD, SignUp
from tests.support.served import served

pytestmark = pytest.mark.long

SOURCES = ROOT / "tests" / "clients"
GENERATOR = "openapi-python-client==0.29.1"


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment() | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def logins(person: SignUp, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The logins of two people."""
    from identity import passwords

    for name in ("owner", "member"):
        person(name)
    # their hash is of another password: see `person`
    monkeypatch.setattr(passwords, "matches", lambda *_, **__: True)
    monkeypatch.setattr(passwords, "is_outdated", lambda _: False)
    return [f"{name}:{PASSWORD}" for name in ("owner", "member")]


def test_a_python_client(logins: list[str], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "package_name_override: chally_client\ncontent_type_overrides: {application/jose: text/plain}\npost_hooks: []\n"
    )
    generated = tmp_path / "chally_client"
    told = run(
        *(uv(), "tool", "run", "--quiet", GENERATOR, "generate", "--meta=none", "--config=config.yaml"),
        *(f"--path={OPENAPI}", f"--output-path={generated}"),
        cwd=tmp_path,
    )
    assert "WARNING" not in told  # it names operations and schemas that it left out
    with served() as url:
        assert "done" in run(sys.executable, SOURCES / "main.py", url, *logins, cwd=tmp_path, PYTHONPATH=str(tmp_path))


def test_a_typescript_client(logins: list[str], tmp_path: Path) -> None:
    programs = npm.install(SOURCES)
    for name in ("main.ts", "tsconfig.json", "package.json"):
        (tmp_path / name).write_bytes((SOURCES / name).read_bytes())
    (tmp_path / "node_modules").symlink_to(SOURCES / "node_modules")
    # a field with a default may be left out of a request; responses require every field
    command = (programs / "openapi-typescript", OPENAPI, "--output=schema.d.ts", "--default-non-nullable=false")
    run(*command, cwd=tmp_path)
    run(programs / "tsc", cwd=tmp_path)
    with served() as url:
        assert "done" in run(NODE, "main.ts", url, *logins, cwd=tmp_path)
