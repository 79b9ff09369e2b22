"""Identity: accounts and sessions, and the keys that sign their tokens."""

from aws_cdk import Duration
from constructs import Construct

from infra.function import Function, House


class Identity(Construct):
    """`routes` answers HTTP; `keys` makes the first signing key, at deploy."""

    PATHS = ("/v1/auth/{proxy+}", "/v1/me", "/v1/me/{proxy+}")

    def __init__(
        self, scope: Construct, id: str, *, house: House, outbox_queue_url: str, signing_secret_arn: str
    ) -> None:
        super().__init__(scope, id)
        self.routes = Function(
            self,
            "Routes",
            house=house,
            name="identity",
            handler="identity.routes.handler",
            timeout=Duration.seconds(15),
            environment={
                "CHALLY_OUTBOX_QUEUE_URL": outbox_queue_url,
                "CHALLY_SIGNING_SECRET_ARN": signing_secret_arn,
            },
        )
        self.keys = Function(
            self,
            "Keys",
            house=house,
            name="identity-keys",
            handler="identity.jobs.signing_keys_handler",
            timeout=Duration.minutes(1),
            environment={"CHALLY_SIGNING_SECRET_ARN": signing_secret_arn},
            snap_start=False,
        )
