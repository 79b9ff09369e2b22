"""Jobs of identity: the signing key, made at the first deploy."""

import json
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from chally import aws, db
from chally.log import logger
from chally.settings import SigningKeysSettings, load
from identity import queries, tokens


@logger.inject_lambda_context(clear_state=True)
def signing_keys_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    """Make sure that there is a signing key, and that its public half is published. Safe to repeat."""
    secret_arn = load(SigningKeysSettings).signing_secret_arn
    signer = _stored(secret_arn)
    made = signer is None
    if signer is None:
        signer = tokens.make_signer()
    with db.as_system("publish signing key") as tx:  # published first: a token must never be unknown to its readers
        queries.publish_key(tx, signer.kid, tokens.public_jwk(signer))
    if made:
        aws.client("secretsmanager").put_secret_value(SecretId=secret_arn, SecretString=json.dumps(asdict(signer)))
    logger.info("signing key", kid=signer.kid, made=made)
    return {"kid": signer.kid}


def _stored(secret_arn: str) -> tokens.Signer | None:
    """The key in the secret; None while it still holds what the deploy filled it with."""
    text = aws.client("secretsmanager").get_secret_value(SecretId=secret_arn)["SecretString"]
    try:
        return tokens.Signer(**json.loads(text))
    except (ValueError, TypeError):
        return None
