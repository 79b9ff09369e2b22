"""`make check`: every linter and type check; a failed one does not stop the others."""

import io
import re
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from infra.tools import deploy, npm
from infra.tools.bootstrap import IMPORT_PATH, PYTHON, ROOT, environment
from infra.tools.process import ChildFailed, ToolError, run
from infra.tools.progress import Steps

_LOG = ROOT / ".local" / "logs" / "check.log"
_SQL = ROOT / ".local" / "check" / "sql"
_FUNCTIONS = ROOT / "functions"
_LINTERS = ROOT / "infra" / "linters"
OPENAPI = _FUNCTIONS / "system" / "openapi.json"
_ALEMBIC_BOOKKEEPING = re.compile(r"^CREATE TABLE core\.schema_version .*?;\n", re.DOTALL | re.MULTILINE)
_OBJECT = re.compile(
    r"\bcreate\s+(?:or\s+replace\s+)?(?:constraint\s+|materialized\s+|recursive\s+)?"
    r"(function|procedure|aggregate|view|trigger|policy)\b",
    re.I,
)

# Counters and limits have bounds that their check constraints name. The function that runs the migrations sets the
# timeouts for its session, so no file has to.
_SQUAWK = (
    "--pg-version=18.0",
    "--exclude=prefer-bigint-over-int,prefer-bigint-over-smallint,require-lock-timeout,require-statement-timeout",
)
# CDK also states a dependency where a reference implies it.
_CFN_LINT = ("--ignore-checks", "W3005", "--")


def run_all(steps: Steps) -> int:
    """Run the checks, print the output of those that failed, and return 1 if any did."""
    failures: dict[str, str] = {}

    def check(title: str, work: Callable[[], object]) -> None:
        try:
            with steps.step(title):
                work()
        except ToolError as failed:
            failures[title] = failed.output if isinstance(failed, ChildFailed) else str(failed)

    check("ruff format", lambda: _tool("ruff", "format", "--check", "."))
    check("ruff", lambda: _tool("ruff", "check", "."))
    check("mypy --strict", lambda: _tool("mypy"))
    check("lint-imports", lambda: _tool("lint-imports"))
    check("vulture", lambda: _tool("vulture"))
    check("SQL objects outside migrations", lambda: check_migrations(_FUNCTIONS / "migrations" / "versions"))
    check("squawk", lambda: _tool("squawk", *_SQUAWK, *map(str, [*migration_sql(_SQL), *sql_files()])))
    check("synth", lambda: deploy.synth(deploy.CLOUD_STAGES, Steps(Console(file=io.StringIO()))))
    if "synth" not in failures:
        templates = [
            path for stage in deploy.CLOUD_STAGES for path in (ROOT / "cdk.out" / stage).glob("*.template.json")
        ]
        check("cfn-lint", lambda: _tool("cfn-lint", *_CFN_LINT, *map(str, sorted(templates))))
    check("Redocly and Spectral", lint_description)
    for title, output in failures.items():
        steps.say(f"\n{title}:\n{output.rstrip()}")
    steps.say(f"\n{len(failures)} of the checks failed." if failures else "\nAll checks passed.")
    return 1 if failures else 0


def lint_description() -> None:
    """Lint the API's description with Redocly's recommended rules and Spectral's for OpenAPI. Warnings do not fail."""
    programs = npm.install(_LINTERS)
    env = environment() | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    for linter, rules in (("redocly", "--config=redocly.yaml"), ("spectral", "--ruleset=.spectral.yaml")):
        run([str(programs / linter), "lint", rules, str(OPENAPI)], log=_LOG, env=env, cwd=_LINTERS)


def check_migrations(directory: Path) -> None:
    """Raises ToolError if a migration creates an object whose text belongs in functions/<context>/sql/."""
    found = [
        f"{path.name}:{path.read_text()[: match.start()].count(chr(10)) + 1} creates a {match[1].lower()}"
        for path in sorted(directory.glob("*.py"))
        for match in _OBJECT.finditer(path.read_text())
    ]
    if found:
        fix = "Its text belongs in functions/<context>/sql/, which is applied after the migrations."
        raise ToolError("\n".join(found), fix)


def sql_files() -> list[Path]:
    """Return the files with the current text of functions, views, triggers and policies."""
    return sorted([*_FUNCTIONS.glob("*/sql/**/*.sql"), *(ROOT / "layers" / "core").rglob("sql/*.sql")])


def migration_sql(directory: Path) -> list[Path]:
    """Write the SQL of each migration to a file, without a database; return the files in order."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    directory.mkdir(parents=True, exist_ok=True)
    files = []
    written = io.StringIO()
    config = Config(output_buffer=written)
    config.set_main_option("script_location", str(_FUNCTIONS / "migrations"))
    for revision in reversed([*ScriptDirectory.from_config(config).walk_revisions()]):
        written.seek(0)
        written.truncate()
        command.upgrade(config, f"{revision.down_revision or 'base'}:{revision.revision}", sql=True)
        file = directory / f"{Path(revision.path).stem}.sql"
        file.write_text(_ALEMBIC_BOOKKEEPING.sub("", written.getvalue()))
        files.append(file)
    return files


def _tool(name: str, *arguments: str) -> None:
    env = environment() | {"PYTHONPATH": IMPORT_PATH}
    run([str(PYTHON.with_name(name)), *arguments], log=_LOG, env=env, cwd=ROOT)
