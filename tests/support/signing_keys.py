"""The secret of signing keys, the job that rotates them, and the tokens they sign."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from chally import access_tokens, aws
from chally.errors import Unauthenticated
from identity import jobs
from identity.keyring import Keyring, SigningKey
from tests.support.api import LambdaContext
from tests.support.environment import PUBLIC_URL

PLACEHOLDER = "x;'{)Zf" + "4" * 25


@dataclass(frozen=True)
class SigningSecret:
    arn: str

    def text(self) -> str:
        return aws.client("secretsmanager").get_secret_value(SecretId=self.arn)["SecretString"]

    def version(self) -> str:
        return aws.client("secretsmanager").get_secret_value(SecretId=self.arn)["VersionId"]

    def keyring(self) -> Keyring:
        return Keyring.loads(self.text())

    def put(self, text: str) -> None:
        aws.client("secretsmanager").put_secret_value(SecretId=self.arn, SecretString=text)


def run_keys_job(**event: object) -> Any:
    context: Any = LambdaContext()
    return jobs.signing_keys_handler(event, context)


def sign_token(ring: Keyring, issued_at: datetime, *, key: SigningKey | None = None) -> str:
    by = ring if key is None else Keyring((key,), ring.refresh_key, ring.sealing_key)
    return by.access_token(issuer=PUBLIC_URL, user_id=uuid4(), session_id=uuid4(), csrf=None, now=issued_at)


def is_accepted(token: str) -> bool:
    try:
        access_tokens.authenticate(token, issuer=PUBLIC_URL)
    except Unauthenticated:
        return False
    return True


def crash(*args: object, **kwargs: object) -> None:
    raise ConnectionError("the lights went out")
