"""The key that signs overlay tokens: a secret that the deployment creates and an operator may replace.

Secrets Manager keeps one previous value, so tokens issued before a replacement stay valid. A second replacement ends
that: replace the key at most once a day, which is as long as a window can last.
"""

from contextlib import suppress

from chally import aws
from chally.errors import ServiceUnavailable

CACHE_SECONDS = 300  # how long a function uses the key it has read


def cached(secret_arn: str) -> bytes:
    """Return the current key, at most `CACHE_SECONDS` old. Raises `ServiceUnavailable`.

    May call Secrets Manager: never call it inside a transaction.
    """
    from aws_lambda_powertools.utilities import parameters

    try:
        key: str = parameters.get_secret(secret_arn, max_age=CACHE_SECONDS)
    except parameters.exceptions.GetParameterError as error:
        raise ServiceUnavailable from error
    return key.encode()


def fetch_all(secret_arn: str) -> list[bytes]:
    """Fetch the current key and the previous one, if there is one. Never call it inside a transaction."""
    client = aws.client("secretsmanager")
    keys = [client.get_secret_value(SecretId=secret_arn, VersionStage="AWSCURRENT")]
    with suppress(client.exceptions.ResourceNotFoundException):
        keys.append(client.get_secret_value(SecretId=secret_arn, VersionStage="AWSPREVIOUS"))
    return [key["SecretString"].encode() for key in keys]
