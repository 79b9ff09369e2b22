"""The key that signs overlays: a secret that the deploy makes, and that anybody may replace who has the right to.

Secrets Manager keeps the value before the current one, and so tokens stay good that were handed out before it was
replaced: once, so do it at most once a day, which is a window's length.
"""

from contextlib import suppress

from chally import aws
from chally.errors import ServiceUnavailable

KEY_LIVES = 300  # seconds that a function trusts the key it has read


def current(secret_arn: str) -> bytes:
    """The key in force, as of the last minutes. Asks Secrets Manager: never call it inside a transaction. Raises
    `ServiceUnavailable`.
    """
    from aws_lambda_powertools.utilities import parameters

    try:
        key: str = parameters.get_secret(secret_arn, max_age=KEY_LIVES)
    except parameters.exceptions.GetParameterError as error:
        raise ServiceUnavailable(headers={"Retry-After": "1"}) from error
    return key.encode()


def read_anew(secret_arn: str) -> list[bytes]:
    """The key in force at this very moment, and the one before where there was one. Not inside a transaction either."""
    client = aws.client("secretsmanager")
    keys = [client.get_secret_value(SecretId=secret_arn, VersionStage="AWSCURRENT")]
    with suppress(client.exceptions.ResourceNotFoundException):
        keys.append(client.get_secret_value(SecretId=secret_arn, VersionStage="AWSPREVIOUS"))
    return [key["SecretString"].encode() for key in keys]
