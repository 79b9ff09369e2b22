"""Identity: accounts and sessions, the keys that sign their tokens, and the key of receipts."""

from aws_cdk import Acknowledgment, Duration, Stack, Validations, triggers
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.function import Function, FunctionDefaults
from infra.gateway import Gateway
from infra.queues import WorkQueue


class Identity(Construct):
    """`routes` serves HTTP; `keys` creates the signing keys during the first deploy and rotates them; `roles` gives a
    person a role; `nightly` deletes data that is no longer needed.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        defaults: FunctionDefaults,
        gateway: Gateway,
        outbox: WorkQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        self.signing_secret_arn = self._secret(
            defaults, "SigningSecret", "The private keys that sign access tokens. Written by identity-keys."
        )
        # a separate secret: proofs signs receipts and must not be able to sign access tokens
        self.receipt_secret_arn = self._secret(
            defaults, "ReceiptSecret", "The private key that signs receipts of proofs. Written by identity-keys."
        )
        self.routes = Function(
            self,
            "Routes",
            defaults=defaults,
            name="identity",
            handler="identity.routes.handler",
            connects_as=["chally_app", "chally_system"],
            timeout=Duration.seconds(15),
            environment={
                "CHALLY_OUTBOX_QUEUE_URL": outbox.url,
                "CHALLY_SIGNING_SECRET_ARN": self.signing_secret_arn,
                "CHALLY_RELYING_PARTY_ID": defaults.settings.relying_party_id or gateway.host,
                "CHALLY_ORIGINS": Stack.of(self).to_json_string([*defaults.settings.cors_origins, gateway.origin]),
            },
            snap_start=True,
        )
        self.keys = Function(
            self,
            "Keys",
            defaults=defaults,
            name="identity-keys",
            handler="identity.jobs.signing_keys_handler",
            connects_as=["chally_system"],
            schedule=Duration.days(1),
            timeout=Duration.minutes(1),
            memory=512,
            environment={
                "CHALLY_SIGNING_SECRET_ARN": self.signing_secret_arn,
                "CHALLY_RECEIPT_SECRET_ARN": self.receipt_secret_arn,
            },
        )
        # no trigger: `make admin` invokes it
        self.roles = Function(
            self,
            "Roles",
            defaults=defaults,
            name="identity-roles",
            handler="identity.jobs.roles_handler",
            connects_as=["chally_system"],
            timeout=Duration.seconds(15),
            memory=512,
        )
        self.nightly = Function(
            self,
            "Nightly",
            defaults=defaults,
            name="identity-nightly",
            handler="identity.jobs.nightly_handler",
            connects_as=["chally_system"],
            schedule=Duration.days(1),
            timeout=Duration.minutes(15),
            memory=512,
        )
        self.keys_trigger = triggers.Trigger(self, "MakeKeys", handler=self.keys.function)

    def _secret(self, defaults: FunctionDefaults, construct_id: str, description: str) -> str:
        """Create a secret that `keys` writes; return its ARN."""
        secret = secretsmanager.Secret(
            self, construct_id, description=description, removal_policy=defaults.settings.removal_policy
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-SMG4",
                reason="A rotation must publish the next key before it signs, and keep the last one for its tokens. "
                "identity-keys does that; the rotation of Secrets Manager has one step only.",
            )
        )
        # MiniStack returns the documented ARN here, while its Ref of a secret is the name
        resource = secret.node.default_child
        assert isinstance(resource, secretsmanager.CfnSecret)
        return resource.attr_id
