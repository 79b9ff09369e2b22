"""A plugin of pytest: begins no further test once the time of a mutant is up."""

import os
import time

import pytest

_DEADLINE = time.monotonic() + float(os.environ["CHALLY_MUTATION_SECONDS"])


@pytest.hookimpl
def pytest_runtest_logfinish() -> None:
    if time.monotonic() > _DEADLINE:
        pytest.exit("the time is up", returncode=0)
