"""Cold starts are imports: what an entry point loads before its first event."""

import json
import re
import subprocess
import sys
from functools import cache

import pytest

from chally.settings import BY_HANDLER
from infra.tools.bootstrap import ROOT

HTTP = [name for name in BY_HANDLER if ".routes." in name]
JOBS = [name for name in BY_HANDLER if ".jobs." in name]
ENVIRONMENT = {"POWERTOOLS_SERVICE_NAME": "test", "POWERTOOLS_METRICS_NAMESPACE": "Chally"}


def loaded(handler: str) -> set[str]:
    """The modules that importing an entry point loads in a fresh process, without any settings."""
    return loaded_by_module(handler.rpartition(".")[0])


@cache
def loaded_by_module(module: str) -> set[str]:
    code = f"import json, sys; import {module}; print(json.dumps(list(sys.modules)))"
    path = f"{ROOT / 'functions'}:{ROOT / 'layers/core/python'}"
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("handler", HTTP)
def test_http_functions_load_neither_aws_clients_nor_imaging(handler: str) -> None:
    heavy = {"boto3", "botocore.session", "botocore.auth", "numpy", "PIL", "sqlalchemy", "webauthn"}
    assert heavy & loaded(handler) == set()


@pytest.mark.parametrize("handler", JOBS)
def test_jobs_load_no_web_framework(handler: str) -> None:
    modules = loaded(handler)
    assert {"fastapi", "starlette", "mangum", "boto3"} & modules == set()
    assert ("numpy" in modules) == handler.startswith("proofs.")


@pytest.mark.parametrize("handler", BY_HANDLER)
def test_every_function_reads_zones_from_one_release(handler: str) -> None:
    """`chally.zones` turns off the zones of the machine. Migrations read none."""
    assert "chally.zones" in loaded(handler) or handler == "migrations.handler.handler"


def test_every_entry_point_has_settings() -> None:
    functions = ROOT / "functions"
    found = {
        f"{module.relative_to(functions).with_suffix('')}.{name}".replace("/__init__", "").replace("/", ".")
        for module in functions.rglob("*.py")
        for name in re.findall(r"^(?:def )?((?:\w+_)?handler)\b(?: =|\()", module.read_text(), re.MULTILINE)
    }
    assert BY_HANDLER.keys() == found
