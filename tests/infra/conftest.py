"""Each stage is synthesised once, because jsii starts slowly. That needs no account, network or system Node."""

from pathlib import Path

import pytest

from infra.settings import Inputs, load
from tests.support.cdk_template import Template, synthesise

STAGES = ("local", "staging", "prod")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all of these tests in one process, which synthesises the stages once."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("infra"))


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    inputs = Inputs.model_construct(
        commit="abc123",
        public_url="http://localhost:4566/_aws/execute-api/chally",
        database_app_url="postgresql://chally_app@127.0.0.1/chally",
        database_system_url="postgresql://chally_system@127.0.0.1/chally",
        database_owner_url="postgresql://postgres@127.0.0.1/chally",
        alarm_email="on-call@chally.example",
    )
    return {stage: synthesise(load(stage, inputs), tmp_path_factory.mktemp(stage)) for stage in STAGES}


@pytest.fixture(params=STAGES)
def template(request: pytest.FixtureRequest, stages: dict[str, Template]) -> Template:
    """Every stage in turn."""
    return stages[request.param]


@pytest.fixture(params=["staging", "prod"])
def aws(request: pytest.FixtureRequest, stages: dict[str, Template]) -> Template:
    """The stages that run in AWS, in turn."""
    return stages[request.param]


@pytest.fixture
def local(stages: dict[str, Template]) -> Template:
    return stages["local"]


@pytest.fixture
def prod(stages: dict[str, Template]) -> Template:
    return stages["prod"]
