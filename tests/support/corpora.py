"""Real files for tests, if they are available. Tests that need them are skipped otherwise."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("CHALLY_CORPORA") or Path(__file__).parents[3] / "shared/corpora")

needed = pytest.mark.skipif(
    not ROOT.is_dir(), reason=f"no real files at {ROOT}: set CHALLY_CORPORA to a folder that has them"
)


def files(pattern: str) -> list[Path]:
    """The matching corpus files in order; none if there is no corpus."""
    return sorted(ROOT.glob(pattern))
