"""AWS clients, created on first use: importing boto3 takes longer than everything else in a request."""

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from botocore.session import Session
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient


@overload
def client(service: Literal["s3"]) -> "S3Client": ...
@overload
def client(service: Literal["secretsmanager"]) -> "SecretsManagerClient": ...
@overload
def client(service: Literal["sesv2"]) -> "SESV2Client": ...
@overload
def client(service: Literal["sqs"]) -> "SQSClient": ...
def client(service: Any) -> Any:
    """The client of a service, one per environment. Timeouts are short because a caller is waiting."""
    if service not in _clients:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=2, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
        _clients[service] = boto3.client(service, config=config)
    return _clients[service]


_clients: dict[str, Any] = {}


def reset() -> None:
    """Discard the clients and credentials, so that new ones are created."""
    _clients.clear()
    _session.cache_clear()


def credentials() -> "Credentials":
    """This function's credentials, refreshed before they expire. Needs botocore, but no client."""
    found = _session().get_credentials()
    if found is None:
        raise RuntimeError("no AWS credentials: a function gets them from its role, a script from its environment")
    return found


@cache
def _session() -> "Session":
    import botocore.session

    return botocore.session.get_session()


def database_token(host: str, port: int, user: str, region: str) -> str:
    """The password for signing in to RDS with IAM: a URL signed for 15 minutes, without its scheme."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    request = AWSRequest("GET", f"https://{host}:{port}/", params={"Action": "connect", "DBUser": user})
    SigV4QueryAuth(credentials().get_frozen_credentials(), "rds-db", region, expires=900).add_auth(request)
    return str(request.url).removeprefix("https://")
