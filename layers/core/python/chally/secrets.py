"""Secrets from Secrets Manager. Every function here does network I/O: never call one inside a transaction."""

from contextlib import suppress

from chally import aws
from chally.errors import ServiceUnavailable

MAX_AGE = 300  # seconds that a function trusts a cached secret


def read(secret_arn: str) -> str:
    """The current value, cached for five minutes. Raises `ServiceUnavailable` if it cannot be read."""
    from aws_lambda_powertools.utilities import parameters  # imports boto3

    try:
        value: str = parameters.get_secret(secret_arn, max_age=MAX_AGE)
    except parameters.exceptions.GetParameterError as error:
        raise ServiceUnavailable from error
    return value


def read_versions(secret_arn: str) -> list[str]:
    """The current value and, if there is one, the previous value; not cached. Raises botocore's ClientError."""
    client = aws.client("secretsmanager")
    versions = [client.get_secret_value(SecretId=secret_arn, VersionStage="AWSCURRENT")]
    with suppress(client.exceptions.ResourceNotFoundException):
        versions.append(client.get_secret_value(SecretId=secret_arn, VersionStage="AWSPREVIOUS"))
    return [version["SecretString"] for version in versions]
