"""The local AWS: its address, its clients, and the environment that points any AWS tool at it.

Sessions come from localstack-client, so a real LocalStack at AWS_ENDPOINT_URL works as well as MiniStack.
"""

import os
from typing import Any
from urllib.parse import urlsplit

from localstack_client.session import Session

from infra.local.ministack import MiniStack
from infra.local.workspace import API_ID, Workspace
from infra.tools.bootstrap import environment as tool_environment

ACCOUNT = "000000000000"
REGION = "us-east-1"
# MiniStack's root user, who has every right under AUTH=true; LocalStack accepts any key.
ACCESS_KEY = SECRET_KEY = "test"  # noqa: S105 - the emulator's published key, useless anywhere else


def external_url() -> str | None:
    """Return the endpoint of another local AWS that replaces MiniStack, if AWS_ENDPOINT_URL is set."""
    return os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/") or None


def embedded(workspace: Workspace) -> MiniStack:
    """Return the workspace's own MiniStack, running or not."""
    return MiniStack(directory=workspace.aws_directory, port=workspace.aws_port, log=workspace.logs / "ministack.log")


def endpoint(workspace: Workspace) -> str:
    """Return the URL of the local AWS."""
    return external_url() or embedded(workspace).url


def is_running(workspace: Workspace) -> bool:
    """Return whether the local AWS runs. An external one is assumed to."""
    return external_url() is not None or embedded(workspace).alive()


def api_url(workspace: Workspace) -> str:
    """Return the base URL of the API, in the form that needs no DNS; the tag `ms-custom-id` fixes the API's id.

    Its host is a name because browsers create no passkeys for a bare IP address.
    """
    return f"{external_url() or f'http://localhost:{workspace.aws_port}'}/_aws/execute-api/{API_ID}"


def client(workspace: Workspace, service: str, **options: Any) -> Any:
    """Return a boto3 client of the local AWS, signed in as its root user."""
    session = Session(
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name=REGION,
        localstack_host=urlsplit(endpoint(workspace)).netloc,
    )
    return session.client(service, **options)


def environment(workspace: Workspace) -> dict[str, str]:
    """Return the environment with which the cdk CLI and other AWS tools use the local AWS and no other."""
    outside = {name: value for name, value in tool_environment().items() if not name.startswith(("AWS_", "CDK_"))}
    return outside | {
        "AWS_ENDPOINT_URL": endpoint(workspace),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        # ignore the user's own profiles
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
