"""AWS clients, made when first used: importing boto3 costs more than everything else a request does."""

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
    """One client per service and environment. Short time-outs: a caller waits behind it."""
    if service not in _clients:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=2, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
        _clients[service] = boto3.client(service, config=config)
    return _clients[service]


_clients: dict[str, Any] = {}


def forget() -> None:
    """Make new clients, and look for credentials anew, from now on."""
    _clients.clear()
    _session.cache_clear()


def credentials() -> "Credentials":
    """This function's own credentials, refreshed as they age; botocore alone, without a client."""
    found = _session().get_credentials()
    if found is None:
        raise RuntimeError("no AWS credentials: a function gets them from its role, a script from its environment")
    return found


@cache
def _session() -> "Session":
    import botocore.session

    return botocore.session.get_session()


def database_token(host: str, port: int, user: str, region: str) -> str:
    """The password with which `user` signs in to RDS by IAM: a URL signed for 15 minutes, without its scheme."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    request = AWSRequest("GET", f"https://{host}:{port}/", params={"Action": "connect", "DBUser": user})
    SigV4QueryAuth(credentials().get_frozen_credentials(), "rds-db", region, expires=900).add_auth(request)
    return str(request.url).removeprefix("https://")
