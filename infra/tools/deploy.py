"""Synthesise the CDK app, and deploy it to AWS."""

import os
from collections.abc import Sequence
from pathlib import Path

from infra import assets
from infra.tools.bootstrap import CDK, NODE, ROOT, environment
from infra.tools.process import ToolError, run
from infra.tools.progress import Steps

CLOUD_STAGES = ("staging", "prod")

_LOG = ROOT / ".local" / "logs" / "cdk.log"
_LOCAL_EXAMPLE = {
    "CHALLY_PUBLIC_URL": "http://localhost:4566/_aws/execute-api/chally",
    "CHALLY_DATABASE_OWNER_URL": "postgresql://postgres@127.0.0.1/chally",
    "CHALLY_DATABASE_APP_URL": "postgresql://chally_app@127.0.0.1/chally",
    "CHALLY_DATABASE_SYSTEM_URL": "postgresql://chally_system@127.0.0.1/chally",
}
"""Settings for a synthesis of the local stage that is not deployed."""


def synth(stages: Sequence[str], steps: Steps, output: Path = ROOT / "cdk.out") -> None:
    """`cdk synth` of stages into `output/<stage>`. Needs no AWS account."""
    for platform in {assets.HOST if stage == "local" else assets.LAMBDA for stage in stages}:
        with steps.step(f"Layers ({platform})") as step:
            step.note = ", ".join(assets.build(platform)) or "up to date"
    for stage in stages:
        with steps.step(f"Synth {stage}"):
            env = environment() | (_LOCAL_EXAMPLE if stage == "local" else {})
            context = ("--context", f"stage={stage}", "--output", str(output / stage))
            run(cdk_command("synth", "--quiet", *context), log=_LOG, env=env, cwd=ROOT)


def deploy(stage: str, steps: Steps) -> None:
    """`cdk deploy` of a stage to the AWS account of the credentials in the environment."""
    import boto3

    check_cloud_stage(stage)
    account, region = aws_identity()
    with steps.step("Layers (arm64)") as step:
        step.note = ", ".join(assets.build(assets.LAMBDA)) or "up to date"
    steps.say(f"Deploying {stage} to account {account}, {region}")
    env = environment() | {"CDK_DEFAULT_ACCOUNT": account, "CDK_DEFAULT_REGION": region}
    ssm = boto3.client("ssm", region_name=region)
    try:
        ssm.get_parameter(Name="/cdk-bootstrap/hnb659fds/version")
    except ssm.exceptions.ParameterNotFound:
        with steps.step("cdk bootstrap"):
            # in a directory without cdk.json: with one, cdk would synthesise the whole app first
            run(cdk_command("bootstrap", f"aws://{account}/{region}"), log=_LOG, env=env, cwd=_LOG.parent)
    with steps.step("cdk deploy"):
        options = ("--context", f"stage={stage}", "--require-approval", "never", "--progress", "events")
        run(cdk_command("deploy", "--all", *options), log=_LOG, env=env, cwd=ROOT)


def replace_with_cdk(arguments: Sequence[str]) -> None:
    """Replace this process with the pinned cdk CLI, for commands that Chally does not wrap."""
    os.execve(NODE, [str(NODE), str(CDK), *arguments], environment())


def cdk_command(*arguments: str) -> list[str]:
    """Return the command line that runs the pinned cdk CLI."""
    return [str(NODE), str(CDK), *arguments, "--no-notices", "--ci"]


def check_cloud_stage(stage: str) -> None:
    """Raises ToolError if `stage` is not a stage in AWS."""
    if stage not in CLOUD_STAGES:
        raise ToolError(f"There is no stage {stage!r} in AWS.", f"Stages are {', '.join(CLOUD_STAGES)}.")


def aws_identity() -> tuple[str, str]:
    """Return the account of the environment's credentials, and the region. Raises ToolError if either is missing."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    fix = "Sign in (`aws sso login`, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) and run again."
    try:
        # the cdk CLI reads AWS_REGION, boto3 reads AWS_DEFAULT_REGION only
        session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
        if not session.region_name:
            raise ToolError("No AWS region is set.", "Set AWS_REGION, for example AWS_REGION=eu-central-1.")
        if session.get_credentials() is None:
            raise ToolError("No AWS credentials were found.", fix)
        return str(session.client("sts").get_caller_identity()["Account"]), session.region_name
    except (BotoCoreError, ClientError) as error:
        raise ToolError(f"AWS could not identify the account: {error}", fix) from error
