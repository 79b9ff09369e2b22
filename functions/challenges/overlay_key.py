"""The key that signs overlay tokens: a secret that the deployment creates and an operator may replace.

Secrets Manager keeps one previous value, so tokens issued before a replacement stay valid. A second replacement ends
that: replace the key at most once a day, which is as long as a window can last.
"""

from chally import secrets


def cached(secret_arn: str) -> bytes:
    """Return the current key, at most `secrets.MAX_AGE` old. Raises `ServiceUnavailable`.

    May call Secrets Manager: never call it inside a transaction.
    """
    return secrets.read(secret_arn).encode()


def fetch_all(secret_arn: str) -> list[bytes]:
    """Fetch the current key and the previous one, if there is one. Never call it inside a transaction."""
    return [version.encode() for version in secrets.read_versions(secret_arn)]
