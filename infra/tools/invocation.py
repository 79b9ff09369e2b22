"""Run a function by hand: in the local system, or in a stage in AWS with the operator's own credentials."""

import json
from typing import Any

from rich.console import Console

from infra import names
from infra.local import aws, stack
from infra.local.workspace import Workspace
from infra.tools import deploy
from infra.tools.process import ToolError

type Place = Workspace | str
"""The local system, or the name of a stage in AWS."""


def invoke(place: Place, function: str, payload: dict[str, Any]) -> int:
    """Run a function, by the suffix of its name, and print its result; return 1 if it failed."""
    result, failed = run(place, function, payload)
    print(json.dumps(result, indent=2))
    return int(failed)


def set_role(place: Place, email: str, role: str) -> None:
    """Give the person with this address a role, and print the outcome. Raises ToolError if that is impossible."""
    if not email:
        raise ToolError("No email address was given.", "Give one: `make admin EMAIL=kari@example.com`.")
    if role not in ("user", "moderator", "admin"):
        raise ToolError(f"There is no role {role!r}.", "Roles are user, moderator and admin.")
    result, failed = run(place, "identity-roles", {"email": email, "role": role})
    if failed:
        raise ToolError(f"identity-roles failed: {result}", "See its log.")
    if "error" in result:
        raise ToolError(f"{email}: {result['error']}")
    print(result["detail"])


def run(place: Place, function: str, payload: dict[str, Any]) -> tuple[Any, bool]:
    """Return a function's result and whether it failed. Raises ToolError if it cannot be invoked."""
    from botocore.exceptions import BotoCoreError, ClientError

    stage = place if isinstance(place, str) else "local"
    name = names.function(stage, function)
    lambda_ = client(place, "lambda")
    if isinstance(place, Workspace):
        stack.check_function(place, function)
    try:
        response = lambda_.invoke(FunctionName=f"{name}:live", Payload=json.dumps(payload).encode())
    except (BotoCoreError, ClientError) as error:
        fix = f"`make deploy STAGE={stage}` creates it; invoking it requires lambda:InvokeFunction."
        raise ToolError(f"{name} could not be invoked: {error}", fix) from error
    return json.loads(response["Payload"].read() or b"null"), bool(response.get("FunctionError"))


def client(place: Place, service: str) -> Any:
    """Return a client of the local AWS or of the operator's account. Raises ToolError if there is none."""
    if isinstance(place, Workspace):
        if not aws.is_running(place):
            raise ToolError("The local AWS is not running.", f"{place.make('up')} starts it.")
        return aws.client(place, service)
    import boto3

    deploy.check_cloud_stage(place)
    account, region = deploy.aws_identity()
    Console(stderr=True, soft_wrap=True).print(f"Using {place} in account {account}, {region}", highlight=False)
    connect: Any = boto3.client  # its types accept literal service names only
    return connect(service, region_name=region)
