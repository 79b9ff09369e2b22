"""Real files for tests, where they are at hand: the suite stands without them."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("CHALLY_CORPORA") or Path(__file__).parents[3] / "shared/corpora")

needed = pytest.mark.skipif(
    not ROOT.is_dir(), reason=f"no real files at {ROOT}: set CHALLY_CORPORA to a folder that has them"
)


def files(pattern: str) -> list[Path]:
    """The corpus files that match, in order; none where there is no corpus."""
    return sorted(ROOT.glob(pattern))
