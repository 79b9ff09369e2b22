"""The CDK app, synthesised and deployed: into the local AWS for the `local` stage, into a real one for the others."""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra import assets, names
from infra.bootstrap import CDK, NODE, ROOT, environment
from infra.local import aws, database
from infra.local.progress import ChildFailed, LocalError, Steps, run
from infra.local.workspace import API_ID, Workspace

STACK = names.stack("local")
CLOUD_STAGES = ("staging", "prod")

_SNAPSHOT_SECONDS = 60
_SOURCES = ("cdk.json", "uv.lock", "infra/package-lock.json", "infra/*.py", "functions/**/*", "layers/core/**/*")


def fingerprint(workspace: Workspace) -> str:
    """Says whether a deploy would change anything: the sources, the layers, and what the app is told."""
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    digest.update(assets.fingerprint(assets.HOST).encode())
    digest.update(json.dumps(inputs(workspace), sort_keys=True).encode())
    return digest.hexdigest()


def current(workspace: Workspace) -> bool:
    """Whether the stack in the local AWS is the one that the sources describe."""
    try:
        known = json.loads(_stamp(workspace).read_text())
    except (FileNotFoundError, ValueError):
        return False
    if known != {"fingerprint": fingerprint(workspace), "endpoint": aws.endpoint(workspace)}:
        return False
    return stack_status(workspace) in ("CREATE_COMPLETE", "UPDATE_COMPLETE")


def stack_status(workspace: Workspace) -> str:
    """The stack's status, or "" when there is none."""
    client = aws.client(workspace, "cloudformation")
    try:
        return str(client.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])
    except client.exceptions.ClientError:
        return ""


def bootstrap(workspace: Workspace) -> None:
    """`cdk bootstrap` of the local AWS: the bucket that assets go to."""
    # Run where there is no cdk.json: with one, the whole app would be synthesised first.
    _cdk(workspace, "bootstrap", f"aws://{aws.ACCOUNT}/{aws.REGION}", cwd=workspace.directory)


def deploy(workspace: Workspace, lock: int) -> None:
    """`cdk deploy` of the local stage, and a note of what was deployed. cdk holds on to the workspace's `lock`."""
    stamp = _stamp(workspace)
    stamp.parent.mkdir(exist_ok=True)
    stamp.unlink(missing_ok=True)
    deployed = fingerprint(workspace)
    try:
        # Without a change set, for which cdk would poll the better part of five seconds.
        _cdk(workspace, "deploy", "--all", "--context", "stage=local", "--output", str(workspace.cloud_assembly),
             "--require-approval", "never", "--method", "direct", "--progress", "events", lock=lock)  # fmt: skip
    except ChildFailed as failed:
        raise LocalError(
            f"{failed.problem}\n\nWhat the functions printed: `make logs`.",
            f"{failed.fix}\nMend it and run again; `make reset` starts from nothing.",
        ) from failed
    _apply_cors(workspace)
    _scanner(workspace).write_text(inputs(workspace)["CHALLY_CLAMD_URL"])
    stamp.write_text(json.dumps({"fingerprint": deployed, "endpoint": aws.endpoint(workspace)}))


def _apply_cors(workspace: Workspace) -> None:
    """Tell the local API its CORS once more: MiniStack misreads it in a template, and would refuse every browser."""
    template = json.loads((workspace.cloud_assembly / f"{STACK}.template.json").read_text())
    (api,) = (each for each in template["Resources"].values() if each["Type"] == "AWS::ApiGatewayV2::Api")
    aws.client(workspace, "apigatewayv2").update_api(
        ApiId=API_ID, CorsConfiguration=api["Properties"]["CorsConfiguration"]
    )


def outputs(workspace: Workspace) -> dict[str, Any]:
    """The URLs of the system, its functions by their suffix, and the stack's own outputs."""
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
    """The stack's own functions: suffix → name. Those that CDK adds for its custom resources are left out."""
    pages = aws.client(workspace, "lambda").get_paginator("list_functions").paginate()
    found = [function["FunctionName"] for page in pages for function in page["Functions"]]
    prefix = names.function("local", "")
    return {name.removeprefix(prefix): name for name in sorted(found) if name.startswith(prefix) and name.islower()}


def check_function(workspace: Workspace, suffix: str) -> None:
    """LocalError that names the functions there are, where this is none of them."""
    found = functions(workspace)
    if suffix not in found:
        raise LocalError(
            f"There is no function {suffix!r} in the local AWS.", f"There are: {', '.join(found) or 'none'}."
        )


def wait_for_functions(workspace: Workspace) -> None:
    """Waits until the version behind every function's alias can be invoked: SnapStart starts it once after publishing.

    Raises LocalError naming the first that could not start, and why.
    """
    client = aws.client(workspace, "lambda")
    deadline = time.monotonic() + _SNAPSHOT_SECONDS
    for suffix, name in functions(workspace).items():
        while True:
            version = client.get_function_configuration(FunctionName=name, Qualifier="live")
            if version["State"] == "Active":
                break
            if version["State"] == "Failed" or time.monotonic() > deadline:
                raise LocalError(
                    f"The function {suffix} does not start: {version.get('StateReason') or version['State']}",
                    f"`make logs` shows more. Mend {version['Handler']} and run again.",
                )
            time.sleep(0.1)


def synth(stages: Sequence[str], steps: Steps, output: Path = ROOT / "cdk.out") -> None:
    """`cdk synth` of stages into `output/<stage>`; needs no AWS account."""
    for platform in {assets.HOST if stage == "local" else assets.LAMBDA for stage in stages}:
        with steps.step(f"Layers ({platform})") as step:
            step.note = ", ".join(assets.build(platform)) or "up to date"
    for stage in stages:
        with steps.step(f"Synth {stage}"):
            env = environment() | (_LOCAL_EXAMPLE if stage == "local" else {})
            run([*_command("synth"), "--quiet", "--context", f"stage={stage}", "--output", str(output / stage)],
                log=ROOT / ".local" / "logs" / "cdk.log", env=env, cwd=ROOT)  # fmt: skip


def deploy_to_aws(stage: str, steps: Steps) -> None:
    """`cdk deploy` of a stage to the AWS account that the environment's credentials are for."""
    check_cloud_stage(stage)
    account, region = aws_identity()
    with steps.step("Layers (arm64)") as step:
        step.note = ", ".join(assets.build(assets.LAMBDA)) or "up to date"
    steps.say(f"Deploying {stage} to account {account}, {region}")
    env = environment() | {"CDK_DEFAULT_ACCOUNT": account, "CDK_DEFAULT_REGION": region}
    log = ROOT / ".local" / "logs" / "cdk.log"
    if not _is_bootstrapped(region):
        with steps.step("cdk bootstrap"):
            # Run where there is no cdk.json: with one, the whole app would be synthesised first.
            run([*_command("bootstrap"), f"aws://{account}/{region}"], log=log, env=env, cwd=log.parent)
    with steps.step("cdk deploy"):
        run([*_command("deploy"), "--all", "--context", f"stage={stage}", "--require-approval", "never",
             "--progress", "events"], log=log, env=env, cwd=ROOT)  # fmt: skip


def _is_bootstrapped(region: str) -> bool:
    """Whether the account was prepared for CDK in this region, which is done once."""
    import boto3

    client = boto3.client("ssm", region_name=region)
    try:
        client.get_parameter(Name="/cdk-bootstrap/hnb659fds/version")
    except client.exceptions.ParameterNotFound:
        return False
    return True


def cdk_by_hand(arguments: Sequence[str]) -> None:
    """Becomes the pinned cdk CLI, for what has no command of its own here."""
    os.execve(NODE, [str(NODE), str(CDK), *arguments], environment())


def check_cloud_stage(stage: str) -> None:
    """LocalError for what is no stage in AWS."""
    if stage not in CLOUD_STAGES:
        raise LocalError(f"There is no stage {stage!r} in AWS.", f"There are: {', '.join(CLOUD_STAGES)}.")


def aws_identity() -> tuple[str, str]:
    """The account that the environment's credentials are for, and the region. LocalError where there are none."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    # The cdk CLI goes by AWS_REGION, boto3 by AWS_DEFAULT_REGION only.
    fix = "Sign in (`aws sso login`, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) and run again."
    try:
        session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
    except BotoCoreError as error:
        raise LocalError(str(error), fix) from error
    if not session.region_name:
        raise LocalError("No AWS region is set.", "Set AWS_REGION, for example AWS_REGION=eu-central-1.")
    if session.get_credentials() is None:
        raise LocalError("No AWS credentials were found.", fix)
    try:
        return str(session.client("sts").get_caller_identity()["Account"]), session.region_name
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"AWS did not say whose account this is: {error}", fix) from error


def inputs(workspace: Workspace) -> dict[str, str]:
    """What the local stage is told: where its database is, its public URL, its scanner."""
    urls = database.urls(workspace)
    return {
        "CHALLY_PUBLIC_URL": aws.api_url(workspace),
        "CHALLY_DATABASE_OWNER_URL": urls.owner,
        "CHALLY_DATABASE_APP_URL": urls.app,
        "CHALLY_DATABASE_SYSTEM_URL": urls.system,
        # of those that a person may set, the one whose coming and going needs a deploy
        "CHALLY_CLAMD_URL": _clamd_url(workspace),
    }


def _clamd_url(workspace: Workspace) -> str:
    """The scanner of this workspace: as given now, or else as it was deployed last. An `up` that does not name it must
    not turn it off: what waits for it would pass. Naming none (`CHALLY_CLAMD_URL=`) does.
    """
    given = os.environ.get("CHALLY_CLAMD_URL")
    if given is not None:
        return given
    remembered = _scanner(workspace)
    return remembered.read_text() if remembered.exists() else ""


def _scanner(workspace: Workspace) -> Path:
    # Not inside of what a lost local AWS takes with it.
    return workspace.directory / "clamd-url"


_LOCAL_EXAMPLE = {
    "CHALLY_PUBLIC_URL": "http://localhost:4566/_aws/execute-api/chally",
    "CHALLY_DATABASE_OWNER_URL": "postgresql://postgres@127.0.0.1/chally",
    "CHALLY_DATABASE_APP_URL": "postgresql://chally_app@127.0.0.1/chally",
    "CHALLY_DATABASE_SYSTEM_URL": "postgresql://chally_system@127.0.0.1/chally",
}
"""What the local stage must be told for a synth that nobody deploys."""


def _stamp(workspace: Workspace) -> Path:
    # Inside what a lost local AWS takes with it.
    return workspace.aws_directory / "deployed.json"


def _cdk(workspace: Workspace, *arguments: str, cwd: Path = ROOT, lock: int | None = None) -> None:
    env = environment() | aws.environment(workspace) | inputs(workspace)
    env["PATH"] = environment()["PATH"]
    run(
        _command(*arguments),
        log=workspace.logs / "cdk.log",
        env=env,
        cwd=cwd,
        keep=() if lock is None else (lock,),
        watch=lambda: _check_aws(workspace),
    )


def _check_aws(workspace: Workspace) -> None:
    """cdk would wait for ever for an AWS that has gone."""
    if not aws.alive(workspace):
        raise LocalError("The local AWS ended during the deploy.", f"Run again. Its log: {aws.embedded(workspace).log}")


def _command(*arguments: str) -> list[str]:
    return [str(NODE), str(CDK), *arguments, "--no-notices", "--ci"]
