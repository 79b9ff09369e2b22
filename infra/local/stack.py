"""The `local` stage of the CDK app, deployed into the local AWS."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from infra import assets, names
from infra.local import aws, database
from infra.local.workspace import API_ID, Workspace
from infra.tools.bootstrap import ROOT
from infra.tools.deploy import cdk_command
from infra.tools.process import ChildFailed, ToolError, run

STACK = names.stack("local")

_SNAPSHOT_SECONDS = 60
_SOURCES = ("cdk.json", "uv.lock", "infra/package-lock.json", "infra/*.py", "functions/**/*", "layers/core/**/*")


def is_current(workspace: Workspace) -> bool:
    """Return whether the deployed stack is the one that the sources describe."""
    try:
        deployed = json.loads(_stamp(workspace).read_text())
    except (FileNotFoundError, ValueError):
        return False
    if deployed != {"fingerprint": _fingerprint(workspace), "endpoint": aws.endpoint(workspace)}:
        return False
    client = aws.client(workspace, "cloudformation")
    try:
        status = client.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"]
    except client.exceptions.ClientError:
        return False
    return status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")


def bootstrap(workspace: Workspace) -> None:
    """`cdk bootstrap` of the local AWS, which creates the bucket for assets."""
    # in a directory without cdk.json: with one, cdk would synthesise the whole app first
    _cdk(workspace, "bootstrap", f"aws://{aws.ACCOUNT}/{aws.REGION}", cwd=workspace.directory)


def deploy(workspace: Workspace, lock: int) -> None:
    """`cdk deploy` of the local stage; records what was deployed. cdk inherits the workspace's `lock`."""
    stamp = _stamp(workspace)
    stamp.parent.mkdir(exist_ok=True)
    stamp.unlink(missing_ok=True)
    deployed = _fingerprint(workspace)
    try:
        # without a change set, which takes cdk five more seconds of polling
        _cdk(workspace, "deploy", "--all", "--context", "stage=local", "--output", str(workspace.cloud_assembly),
             "--require-approval", "never", "--method", "direct", "--progress", "events", lock=lock)  # fmt: skip
    except ChildFailed as failed:
        fix = f"{failed.fix}\nFix it and run again; {workspace.make('reset')} starts from an empty system."
        raise ToolError(f"{failed.problem}\n\nFor the output of the functions see `make logs`.", fix) from failed
    _apply_cors(workspace)
    _scanner_file(workspace).write_text(inputs(workspace)["CHALLY_CLAMD_URL"])
    stamp.write_text(json.dumps({"fingerprint": deployed, "endpoint": aws.endpoint(workspace)}))


def outputs(workspace: Workspace) -> dict[str, Any]:
    """Return the URLs of the system, its functions by their suffix, and the stack's own outputs."""
    stack = aws.client(workspace, "cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    api = aws.api_url(workspace)
    return {
        "api_url": api,
        "docs_url": f"{api}/docs",
        "aws_url": aws.endpoint(workspace),
        "mailbox_url": f"{aws.endpoint(workspace)}/_ministack/ses/messages",
        "functions": functions(workspace),
        "stack": {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
    }


def functions(workspace: Workspace) -> dict[str, str]:
    """Return our functions, suffix → name, without those that CDK adds for its custom resources."""
    pages = aws.client(workspace, "lambda").get_paginator("list_functions").paginate()
    found = [function["FunctionName"] for page in pages for function in page["Functions"]]
    prefix = names.function("local", "")
    return {name.removeprefix(prefix): name for name in sorted(found) if name.startswith(prefix) and name.islower()}


def check_function(workspace: Workspace, suffix: str) -> None:
    """Raises ToolError if the local AWS has no such function."""
    found = functions(workspace)
    if suffix not in found:
        raise ToolError(f"There is no function {suffix!r} in the local AWS.", f"Functions are {', '.join(found)}.")


def wait_for_functions(workspace: Workspace) -> None:
    """Wait until every function's alias can be invoked; SnapStart starts a version once after it is published.

    Raises ToolError with the reason if a function cannot start.
    """
    client = aws.client(workspace, "lambda")
    deadline = time.monotonic() + _SNAPSHOT_SECONDS
    for suffix, name in functions(workspace).items():
        while (version := client.get_function_configuration(FunctionName=name, Qualifier="live"))["State"] != "Active":
            if version["State"] == "Failed" or time.monotonic() > deadline:
                reason = version.get("StateReason") or version["State"]
                fix = f"`make logs` shows more. Fix {version['Handler']} and run again."
                raise ToolError(f"The function {suffix} does not start: {reason}", fix)
            time.sleep(0.1)


def inputs(workspace: Workspace) -> dict[str, str]:
    """Return the settings of the local stage, as environment variables of the CDK app."""
    urls = database.urls(workspace)
    return {
        "CHALLY_PUBLIC_URL": aws.api_url(workspace),
        "CHALLY_DATABASE_OWNER_URL": urls.owner,
        "CHALLY_DATABASE_APP_URL": urls.app,
        "CHALLY_DATABASE_SYSTEM_URL": urls.system,
        "CHALLY_CLAMD_URL": _clamd_url(workspace),
    }


def _fingerprint(workspace: Workspace) -> str:
    """Hash everything a deploy depends on: sources, layers and settings."""
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    digest.update(assets.fingerprint(assets.HOST).encode())
    digest.update(json.dumps(inputs(workspace), sort_keys=True).encode())
    return digest.hexdigest()


def _apply_cors(workspace: Workspace) -> None:
    """Set the CORS rules of the local API again: MiniStack misreads them in a template and would refuse browsers."""
    template = json.loads((workspace.cloud_assembly / f"{STACK}.template.json").read_text())
    (api,) = (each for each in template["Resources"].values() if each["Type"] == "AWS::ApiGatewayV2::Api")
    cors = api["Properties"]["CorsConfiguration"]
    aws.client(workspace, "apigatewayv2").update_api(ApiId=API_ID, CorsConfiguration=cors)


def _clamd_url(workspace: Workspace) -> str:
    """Return the virus scanner: CHALLY_CLAMD_URL if it is set, even to "", otherwise the one deployed last.

    So an `up` without the variable does not turn scanning off, which would accept uploads that wait for a scan.
    """
    given, remembered = os.environ.get("CHALLY_CLAMD_URL"), _scanner_file(workspace)
    if given is not None:
        return given
    return remembered.read_text() if remembered.exists() else ""


def _scanner_file(workspace: Workspace) -> Path:
    # not in `aws_directory`, which is deleted after a crash of the local AWS
    return workspace.directory / "clamd-url"


def _stamp(workspace: Workspace) -> Path:
    # in `aws_directory`, so that it is deleted together with the stack
    return workspace.aws_directory / "deployed.json"


def _cdk(workspace: Workspace, *arguments: str, cwd: Path = ROOT, lock: int | None = None) -> None:
    def check_aws() -> None:
        """Give up when the local AWS has ended; cdk would wait without end."""
        if not aws.is_running(workspace):
            fix = f"Run again. Its log: {aws.embedded(workspace).log}"
            raise ToolError("The local AWS ended during the deploy.", fix)

    env = aws.environment(workspace) | inputs(workspace)
    keep = () if lock is None else (lock,)
    run(cdk_command(*arguments), log=workspace.logs / "cdk.log", env=env, cwd=cwd, keep=keep, watch=check_aws)
