"""IAM tokens for the database, signed without a boto3 client."""

import boto3

from chally import aws


def test_a_database_token_equals_boto3s() -> None:
    """RDS checks the signature, so every part must be the same, except the time."""
    aws.reset()
    host, user, region = "proxy.example.eu-central-1.rds.amazonaws.com", "chally_app", "eu-central-1"
    client = boto3.client("rds", region_name=region)
    theirs = client.generate_db_auth_token(DBHostname=host, Port=5432, DBUsername=user, Region=region)
    ours = aws.database_token(host, 5432, user, region)

    def parts(token: str) -> dict[str, str]:
        address, _, query = token.partition("?")
        fields = dict(pair.split("=", 1) for pair in query.split("&"))
        return {"address": address} | {k: v for k, v in fields.items() if k not in ("X-Amz-Date", "X-Amz-Signature")}

    assert parts(ours) == parts(theirs)
    assert "X-Amz-Expires=900" in ours
