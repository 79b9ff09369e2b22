"""`make check`: every linter and type check, each tried even when one before it failed."""

import io
import re
from collections.abc import Callable
from pathlib import Path

from infra.bootstrap import IMPORT_PATH, PYTHON, ROOT, environment
from infra.local import deployment
from infra.local.progress import ChildFailed, LocalError, Steps, run

_LOG = ROOT / ".local" / "logs" / "check.log"
_SQL = ROOT / ".local" / "check" / "sql"
_ALEMBICS_OWN = re.compile(r"^CREATE TABLE core\.schema_version .*?;\n", re.DOTALL | re.MULTILINE)

# Counters and limits have bounds that their check constraints name; and what a migration may wait for is set for its
# session by the function that runs it, not in each file.
_SQUAWK = (
    "--pg-version=18.0",
    "--exclude=prefer-bigint-over-int,prefer-bigint-over-smallint,require-lock-timeout,require-statement-timeout",
)
# CDK states a dependency also where a reference implies it.
_CFN_LINT = ("--ignore-checks", "W3005", "--")


def run_all(steps: Steps) -> int:
    """Runs the checks, then prints what the failed ones said; returns 1 if any failed."""
    failures: list[tuple[str, str]] = []

    def check(title: str, work: Callable[[], object]) -> None:
        try:
            with steps.step(title):
                work()
        except ChildFailed as failed:
            failures.append((title, failed.output))
        except LocalError as failed:
            failures.append((title, str(failed)))

    check("ruff format", lambda: _tool("ruff", "format", "--check", "."))
    check("ruff", lambda: _tool("ruff", "check", "."))
    check("mypy --strict", lambda: _tool("mypy"))
    check("lint-imports", lambda: _tool("lint-imports"))
    check("vulture", lambda: _tool("vulture"))
    check("squawk", lambda: _tool("squawk", *_SQUAWK, *map(str, migration_sql(_SQL))))
    before = len(failures)
    check("synth", lambda: deployment.synth(deployment.CLOUD_STAGES, Steps(io.StringIO())))
    if len(failures) == before:
        check("cfn-lint", lambda: _tool("cfn-lint", *_CFN_LINT, *map(str, _templates())))
    for title, said in failures:
        steps.say(f"\n{title}:\n{said.rstrip()}")
    steps.say(f"\n{len(failures)} of the checks failed." if failures else "\nAll checks passed.")
    return 1 if failures else 0


def migration_sql(directory: Path) -> list[Path]:
    """Writes what each migration would run, without a database, one file per migration; returns the files in order."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    directory.mkdir(parents=True, exist_ok=True)
    files = []
    written = io.StringIO()
    config = Config(output_buffer=written)
    config.set_main_option("script_location", str(ROOT / "functions" / "migrations"))
    for revision in reversed([*ScriptDirectory.from_config(config).walk_revisions()]):
        written.seek(0)
        written.truncate()
        command.upgrade(config, f"{revision.down_revision or 'base'}:{revision.revision}", sql=True)
        file = directory / f"{Path(revision.path).stem}.sql"
        file.write_text(_ALEMBICS_OWN.sub("", written.getvalue()))
        files.append(file)
    return files


def _templates() -> list[Path]:
    return [
        path for stage in deployment.CLOUD_STAGES for path in sorted((ROOT / "cdk.out" / stage).glob("*.template.json"))
    ]


def _tool(name: str, *arguments: str) -> None:
    env = environment() | {"PYTHONPATH": IMPORT_PATH}
    run([str(PYTHON.with_name(name)), *arguments], log=_LOG, env=env, cwd=ROOT)
