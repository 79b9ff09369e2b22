"""Running a function by hand: in the local system, or in a stage in AWS with the deployer's own credentials."""

import json
import sys
from typing import Any

from infra import names
from infra.local import aws, deployment
from infra.local.progress import LocalError
from infra.local.workspace import Workspace

type Place = Workspace | str
"""The local system, or the name of a stage in AWS."""


def invoke(place: Place, function: str, payload: dict[str, Any]) -> int:
    """Run a function, by the suffix of its name, and print what it answers; 1 if it failed."""
    answer, failed = run(place, function, payload)
    print(json.dumps(answer, indent=2))
    return int(failed)


def set_role(place: Place, email: str, role: str) -> None:
    """Give the person with this address a role, and print what that means. LocalError where it cannot be."""
    if not email:
        raise LocalError("Whose role? No address was given.", "`make admin EMAIL=kari@example.com`.")
    answer, failed = run(place, "identity-roles", {"email": email, "role": role})
    if failed:
        raise LocalError(f"identity-roles failed: {answer}", "Its log says why.")
    if "error" in answer:
        raise LocalError(answer["error"], f"Asked for {email}.")
    print(answer["detail"])


def run(place: Place, function: str, payload: dict[str, Any]) -> tuple[Any, bool]:
    """What the function answers, and whether it failed. LocalError where there is none such, or it may not be asked."""
    from botocore.exceptions import BotoCoreError, ClientError

    stage = place if isinstance(place, str) else "local"
    name = names.function(stage, function)
    lambda_ = client(place, "lambda")
    if not isinstance(place, str):
        deployment.check_function(place, function)
    try:
        got = lambda_.invoke(FunctionName=f"{name}:live", Payload=json.dumps(payload).encode())
    except (BotoCoreError, ClientError) as error:
        fix = f"`make deploy STAGE={stage}` brings it; whoever runs it needs lambda:InvokeFunction on it."
        raise LocalError(f"{name} was not run: {error}", fix) from error
    return json.loads(got["Payload"].read() or b"null"), bool(got.get("FunctionError"))


def client(place: Place, service: str) -> Any:
    """A client of the local AWS, or of the deployer's own account. LocalError where there is none."""
    if not isinstance(place, str):
        if not aws.alive(place):
            raise LocalError("The local AWS does not run.", f"{place.make('up')} starts it.")
        return aws.client(place, service)
    import boto3

    deployment.check_cloud_stage(place)
    account, region = deployment.aws_identity()
    print(f"Asking {place} in account {account}, {region}", file=sys.stderr)
    connect: Any = boto3.client  # its types know services by literal names only
    return connect(service, region_name=region)
