"""Running functions by hand: which function is invoked, where, and the messages for errors."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infra import names
from infra.local.workspace import Workspace
from infra.tools import __main__ as cli
from infra.tools import deploy, invocation
from infra.tools.process import ToolError
from tests.support.cdk_template import Template


@dataclass
class Lambda:
    """A fake Lambda client of a stage."""

    result: Any = None
    failed: bool = False
    error: Exception | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self.error:
            raise self.error
        response: dict[str, Any] = {"Payload": io.BytesIO(json.dumps(self.result).encode())}
        return response | ({"FunctionError": "Unhandled"} if self.failed else {})


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Lambda:
    fake = Lambda()
    monkeypatch.setattr(deploy, "aws_identity", lambda: ("123456789012", "eu-central-1"))
    monkeypatch.setattr(boto3, "client", lambda service, region_name: fake if service == "lambda" else None)
    return fake


def test_names_match_the_template(template: Template) -> None:
    assert template.settings.name == names.stack(template.settings.stage)
    functions = template.properties("AWS::Lambda::Function").values()
    named = {function.get("FunctionName") for function in functions}
    assert {names.function(template.settings.stage, suffix) for suffix in template.functions()} <= named


def test_a_role_is_given_in_the_chosen_stage(cloud: Lambda, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.result = {"detail": "kari now has the role admin."}
    assert cli.main(["--stage", "prod", "role", "kari@people.test", "admin"]) == 0
    (request,) = cloud.requests
    assert request["FunctionName"] == "chally-prod-identity-roles:live"
    assert json.loads(request["Payload"]) == {"email": "kari@people.test", "role": "admin"}
    printed = capsys.readouterr()
    assert printed.out == "kari now has the role admin.\n"
    assert "prod in account 123456789012, eu-central-1" in printed.err


def test_a_refused_role_change_prints_the_reason(cloud: Lambda, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.result = {"error": "No account has this address."}
    assert cli.main(["--stage", "prod", "role", "kari@people.test", "admin"]) == 1
    assert "No account has this address." in capsys.readouterr().err
    assert cli.main(["--stage", "prod", "role", "", "admin"]) == 1
    assert "EMAIL=" in capsys.readouterr().err
    assert len(cloud.requests) == 1


def test_the_payload_is_passed_to_the_function(cloud: Lambda, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.result = {"newest": "0123"}
    assert cli.main(["--stage", "staging", "invoke", "identity-keys", "--payload", '{"rotate": true}']) == 0
    assert cloud.requests == [{"FunctionName": "chally-staging-identity-keys:live", "Payload": b'{"rotate": true}'}]
    assert json.loads(capsys.readouterr().out) == {"newest": "0123"}


def test_a_function_that_raises_fails_the_command(cloud: Lambda) -> None:
    cloud.result, cloud.failed = {"errorMessage": "no"}, True
    assert cli.main(["--stage", "staging", "invoke", "identity-keys"]) == 1
    with pytest.raises(ToolError, match="identity-roles failed"):
        invocation.set_role("staging", "kari@people.test", "admin")


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}, "Invoke"),
        ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "not found"}}, "Invoke"),
        EndpointConnectionError(endpoint_url="https://lambda.test"),
    ],
)
def test_an_error_of_aws_names_the_required_right(cloud: Lambda, error: Exception) -> None:
    cloud.error = error
    with pytest.raises(ToolError, match="chally-staging-identity-keys could not be invoked") as caught:
        invocation.invoke("staging", "identity-keys", {})
    assert "lambda:InvokeFunction" in caught.value.fix


def test_an_unknown_stage_is_refused(cloud: Lambda) -> None:
    with pytest.raises(ToolError, match="no stage 'production'"):
        invocation.invoke("production", "identity-keys", {})
    assert cloud.requests == []


def test_a_stopped_local_system_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(ToolError, match="is not running"):
        invocation.invoke(Workspace.open(tmp_path, aws_port=0), "identity-keys", {})
