"""`make mutate`: change the source in 150 places, one at a time, and see which changes no test notices.

Works in a copy of the tree. Each mutant's tests run in the order of what they have to do with it, until one fails or
the time is up: every test but those of the deployment, which a change of any text fails. The same seed draws the same
mutants from the same source. Writes REPORT.md after every mutant, so an interrupted run can be read.
"""

import argparse
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.mutation.mutants import TARGETS, Mutant, of_file

ROOT = Path(__file__).parents[2]
REPORT = Path(__file__).with_name("REPORT.md")
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
GOAL = 0.9
NOT_RUN = {"bench", "e2e", "infra", "load", "migrations", "mutation", "support"}
# A mutant that Postgres refuses to create says nothing about tests.
_STILLBORN = re.compile(r"psycopg\.errors\.(?:Syntax|Undefined|Datatype|Ambiguous|Invalid|Cannot|Wrong|Duplicate)\w+")

Outcome = Literal["killed", "survived", "stillborn", "equivalent"]


@dataclass(frozen=True)
class Result:
    mutant: Mutant
    outcome: Outcome
    detail: str
    seconds: float


def main() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also in the background, where a shell ignores it
    arguments = _parse()
    random_ = random.Random(arguments.seed)
    groups = [_mutants(patterns, random_) for patterns in TARGETS.values()]
    equivalent = tomllib.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else {}
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="chally-mutation-") as directory:
        tree = Path(directory)
        _copy(tree)
        for mutant in _turns([_turns(files) for files in groups]):
            if sum(each.outcome != "stillborn" for each in results) == arguments.number:
                break
            sentence = equivalent.get(mutant.title.replace(f":{mutant.line}", ""))
            result = Result(mutant, "equivalent", sentence, 0) if sentence else _try(tree, mutant, arguments.seconds)
            results.append(result)
            print(f"{len(results):4} {result.outcome:10} {result.seconds:4.0f} s  {mutant.title}", flush=True)
            REPORT.write_text(_report(results, arguments))
    score = _score(results)
    print(f"{score:.0%} killed; see {REPORT.relative_to(ROOT)}")
    return 0 if score >= GOAL else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, default=150, help="how many mutants to try")
    parser.add_argument("--seconds", type=int, default=240, help="how long the tests of one mutant may run")
    return parser.parse_args()


def _mutants(patterns: list[str], random_: random.Random) -> list[Iterator[Mutant]]:
    """The mutants of each file; files and mutants in random order."""
    files = [of_file(ROOT, path) for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)})]
    random_.shuffle(files)
    return [iter(random_.sample(mutants, len(mutants))) for mutants in files]


def _turns(sources: Sequence[Iterator[Mutant]]) -> Iterator[Mutant]:
    """One of each in turn, until all are exhausted."""
    for row in itertools.zip_longest(*sources):
        yield from (mutant for mutant in row if mutant is not None)


def _copy(tree: Path) -> None:
    tree.chmod(0o755)  # Postgres, which does not run as root, reads time zones through it
    for name in ("functions", "layers", "tests", "infra", "pyproject.toml", "cdk.json"):
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("node_modules", "__pycache__", "vendor", "imaging", ".hypothesis")
            shutil.copytree(source, tree / name, ignore=ignored, symlinks=True)
        else:
            shutil.copy(source, tree / name)
    (tree / ".venv").symlink_to(ROOT / ".venv")


def _try(tree: Path, mutant: Mutant, seconds: int) -> Result:
    """Run the tests in a tree with this mutant."""
    path = tree / mutant.path
    source = path.read_text()
    start = time.monotonic()
    try:
        path.write_text(mutant.apply(source))
        status, output = _pytest(tree, [str(each) for each in _tests(tree, mutant)], seconds)
    finally:
        path.write_text(source)
    took = time.monotonic() - start
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    if status == 1 and "migrations/handler.py" in output and _STILLBORN.search(output) and " passed" not in output:
        return Result(mutant, "stillborn", "", took)
    if failed and status == 1 and not _passes(tree, failed[1], seconds):
        raise SystemExit(f"{failed[1]} fails without a mutant, too. Fix it first.")
    if status == 0 or "the time is up" in output:
        passed = re.search(r"(\d+) passed", output)
        return Result(mutant, "survived", f"{passed[1] if passed else 0} tests passed", took)
    return Result(mutant, "killed", failed[1] if failed else f"pytest ended with {status}", took)


_passing: set[str] = set()


def _passes(tree: Path, test: str, seconds: int) -> bool:
    """Whether a test that failed passes in the tree as it is; tried once for each test."""
    if test not in _passing and _pytest(tree, [test], seconds)[0] == 0:
        _passing.add(test)
    return test in _passing


def _pytest(tree: Path, tests: list[str], seconds: int) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=short", "-p", "no:randomly", "-p", "no:cacheprovider"]
    command += ["-p", "tests.mutation.deadline", "-m", "not e2e and not long", *tests]
    environment = os.environ | {
        "PYTHONPATH": "functions:layers/core/python:.",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CHALLY_MUTATION_SECONDS": str(seconds),
    }
    process = subprocess.Popen(
        command, cwd=tree, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        output, _ = process.communicate(timeout=seconds + 60)
        return process.returncode, output
    except subprocess.TimeoutExpired:  # it hangs: a mutant that is noticed
        process.send_signal(signal.SIGINT)  # so that its Postgres is stopped, too
        output, _ = process.communicate()
        return 124, output


def _tests(tree: Path, mutant: Mutant) -> list[Path]:
    """The files of tests, those first that have the most to do with the mutant.

    A file scores for each name that it shares with the mutant or with what calls it, the more the fewer files have that
    name; and for being of the same context, and named after the same module.
    """
    files = [path for path in sorted((tree / "tests").glob("*/test_*.py")) if path.parent.name not in NOT_RUN]
    words = {path: set(re.findall(r"\w+", path.read_text())) for path in files}
    spread = Counter(word for each in words.values() for word in each)
    names = _related(tree, mutant)
    context = "chally" if mutant.path.startswith("layers") else mutant.path.split("/")[1]
    noun = Path(mutant.path).stem.rstrip("s") if "/rules" not in mutant.path else "rules"

    def score(path: Path) -> float:
        shared = sum(2 / spread[name] for name in names & words[path])
        return shared + (path.parent.name == context) / 2 + (path.parent.name == context and noun in path.stem)

    return [path.relative_to(tree) for path in sorted(files, key=lambda path: -score(path))]


def _related(tree: Path, mutant: Mutant) -> set[str]:
    """The mutant's names, those of the SQL objects that use them, and of the Python functions that call these."""
    names = {name for name in mutant.names if not name.startswith("_")}
    if mutant.path.endswith(".sql"):
        bodies = "\n".join(path.read_text() for path in tree.glob("functions/*/sql/*.sql"))
        for function in re.finditer(r"^create or replace \w+ (\S+?)\(.*?^(?:\$\$|end);", bodies, re.M | re.S):
            if any(name in function[0] for name in list(names)):
                names.add(function[1])
        for path in tree.glob("functions/**/*.py"):
            for function in re.finditer(r"^(?:async )?def (\w+).*?(?=^\S|\Z)", path.read_text(), re.M | re.S):
                if any(name in function[0] for name in names if "." in name):
                    names.add(function[1])
    return {word for name in names for word in (name, name.rpartition(".")[2])} | {Path(mutant.path).stem}


def _score(results: list[Result]) -> float:
    counted = [each.outcome for each in results if each.outcome in ("killed", "survived")]
    return counted.count("killed") / max(1, len(counted))


def _report(results: list[Result], arguments: argparse.Namespace) -> str:
    count = Counter(each.outcome for each in results)
    survivors = [each for each in results if each.outcome == "survived"]
    excused = [each for each in results if each.outcome == "equivalent"]
    lines = [
        "# Mutations",
        "",
        f"`make mutate`, seed {arguments.seed}: {count['killed']} of {count['killed'] + count['survived']} mutants were"
        f" noticed, {_score(results):.0%}. The goal is {GOAL:.0%}. {count['stillborn']} more did not start, and"
        f" {count['equivalent']} cannot make a difference.",
        "",
        "## Survivors",
        "",
        *(f"- {each.mutant.title} ({each.detail})" for each in survivors),
        "",
        "## Without a difference",
        "",
        *(f"- {each.mutant.title}: {each.detail}" for each in excused),
        "",
        "## Noticed",
        "",
        *(f"- {each.mutant.title}, by `{each.detail}`" for each in results if each.outcome == "killed"),
    ]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    sys.exit(main())
