"""Identity: accounts and sessions, and the key that signs their tokens."""

from aws_cdk import Acknowledgment, Duration, Validations, triggers
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.function import Function, House
from infra.queues import WorkQueue


class Identity(Construct):
    """`routes` answers HTTP; `keys` makes the first signing key, when a deploy triggers it."""

    def __init__(self, scope: Construct, construct_id: str, *, house: House, outbox: WorkQueue) -> None:
        super().__init__(scope, construct_id)
        secret = secretsmanager.Secret(
            self,
            "SigningSecret",
            description="The private key that signs access tokens; `identity-keys` puts it here.",
            removal_policy=house.settings.removal_policy,
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-SMG4",
                reason="A rotation must publish the next key before it signs, and keep the last one for the tokens it "
                "signed. That is work for identity-keys, not for the one-step rotation of Secrets Manager.",
            )
        )
        # The documented ARN of a secret. MiniStack gives that as well, while its Ref is the secret's name.
        resource = secret.node.default_child
        assert isinstance(resource, secretsmanager.CfnSecret)
        self.signing_secret_arn = resource.attr_id
        self.routes = Function(
            self,
            "Routes",
            house=house,
            name="identity",
            handler="identity.routes.handler",
            timeout=Duration.seconds(15),
            environment={
                "CHALLY_OUTBOX_QUEUE_URL": outbox.url,
                "CHALLY_SIGNING_SECRET_ARN": self.signing_secret_arn,
            },
        )
        self.keys = Function(
            self,
            "Keys",
            house=house,
            name="identity-keys",
            handler="identity.jobs.signing_keys_handler",
            timeout=Duration.minutes(1),
            memory=512,
            environment={"CHALLY_SIGNING_SECRET_ARN": self.signing_secret_arn},
            snap_start=False,
        )
        self.keys_trigger = triggers.Trigger(self, "MakeKeys", handler=self.keys.function)
