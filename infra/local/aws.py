"""The local AWS: where it is, how to speak to it, and the environment that makes any AWS tool do so.

Sessions come from localstack-client, so that a real LocalStack at AWS_ENDPOINT_URL serves as well as MiniStack.
"""

import os
from typing import Any
from urllib.parse import urlsplit

from localstack_client.session import Session

from infra.local.ministack import MiniStack
from infra.local.workspace import API_ID, Workspace

ACCOUNT = "000000000000"
REGION = "us-east-1"
# MiniStack's root user, whom AUTH=true lets do everything; LocalStack takes any key.
ACCESS_KEY = SECRET_KEY = "test"  # noqa: S105 - the emulator's published key, of no use anywhere else


def external_url() -> str | None:
    """The endpoint of a real LocalStack that replaces MiniStack, if the user set one."""
    return os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/") or None


def embedded(workspace: Workspace) -> MiniStack:
    """The workspace's own MiniStack, running or not."""
    return MiniStack(directory=workspace.aws_directory, port=workspace.aws_port, log=workspace.logs / "ministack.log")


def endpoint(workspace: Workspace) -> str:
    """The URL of the local AWS."""
    return external_url() or embedded(workspace).url


def alive(workspace: Workspace) -> bool:
    """Whether the local AWS is there to be asked."""
    return external_url() is not None or embedded(workspace).alive()


def api_url(workspace: Workspace) -> str:
    """The base URL of the API, in the form that needs no DNS; the tag `ms-custom-id` pins its id.

    Its host has a name: browsers make no passkeys for pages of a bare IP address.
    """
    return f"{external_url() or f'http://localhost:{workspace.aws_port}'}/_aws/execute-api/{API_ID}"


def session(workspace: Workspace) -> Session:
    """A session of the local AWS as its root user: `session(workspace).client("s3")`."""
    address = urlsplit(endpoint(workspace)).netloc
    return Session(
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name=REGION,
        localstack_host=address,
    )


def client(workspace: Workspace, service: str, **options: Any) -> Any:
    """A boto3 client of the local AWS."""
    return session(workspace).client(service, **options)


def environment(workspace: Workspace) -> dict[str, str]:
    """What the cdk CLI and any other AWS tool need to speak to the local AWS and to no other."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    return outside | {
        "AWS_ENDPOINT_URL": endpoint(workspace),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        # A person's own profiles must not leak in.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
