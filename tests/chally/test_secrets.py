"""Reading secrets: cached, and read again with the previous version."""

import pytest
from botocore.exceptions import ClientError

from chally import aws, secrets
from chally.errors import ServiceUnavailable

MISSING = "arn:aws:secretsmanager:us-east-1:000000000000:secret:missing-abc"


@pytest.fixture
def secret_arn(cloud: None) -> str:
    return aws.client("secretsmanager").create_secret(Name="sample", SecretString="first")["ARN"]


def replace(secret_arn: str, value: str) -> None:
    aws.client("secretsmanager").put_secret_value(SecretId=secret_arn, SecretString=value)


def test_a_value_is_cached(secret_arn: str) -> None:
    assert secrets.read(secret_arn) == "first"
    replace(secret_arn, "second")
    assert secrets.read(secret_arn) == "first"


def test_the_versions_are_read_without_the_cache(secret_arn: str) -> None:
    assert secrets.read(secret_arn) == "first"
    assert secrets.read_versions(secret_arn) == ["first"]
    replace(secret_arn, "second")
    assert secrets.read_versions(secret_arn) == ["second", "first"]


def test_a_secret_that_cannot_be_read_is_503(cloud: None) -> None:
    with pytest.raises(ServiceUnavailable):
        secrets.read(MISSING)
    with pytest.raises(ClientError):
        secrets.read_versions(MISSING)
