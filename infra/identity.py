"""Identity: accounts and sessions, the keys that sign their tokens, and the key of receipts."""

from aws_cdk import Acknowledgment, Duration, Size, Stack, Validations, triggers
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.function import Function, House
from infra.gateway import Gateway
from infra.queues import WorkQueue


class Identity(Construct):
    """`routes` answers HTTP; `keys` makes the first signing keys when a deploy triggers it, and rotates; `exports`
    builds the ZIPs that people ask for; `nightly` forgets who left, and what is old.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        house: House,
        gateway: Gateway,
        outbox: WorkQueue,
        uploads: s3.IBucket,
    ) -> None:
        super().__init__(scope, construct_id)
        self.signing_secret_arn = self._secret(
            house, "SigningSecret", "The private keys that sign access tokens; `identity-keys` puts them here."
        )
        # Of its own: proofs, which signs receipts, must not be able to sign anybody in.
        self.receipt_secret_arn = self._secret(
            house, "ReceiptSecret", "The private key that signs receipts of proofs; `identity-keys` puts it here."
        )
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
                "CHALLY_UPLOADS_BUCKET": uploads.bucket_name,
                "CHALLY_RELYING_PARTY_ID": house.settings.relying_party_id or gateway.host,
                "CHALLY_ORIGINS": Stack.of(self).to_json_string([*house.settings.cors_origins, gateway.origin]),
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
            environment={
                "CHALLY_SIGNING_SECRET_ARN": self.signing_secret_arn,
                "CHALLY_RECEIPT_SECRET_ARN": self.receipt_secret_arn,
            },
            snap_start=False,
        )
        self.keys.every(Duration.days(1))
        # Nothing triggers it: `make admin` invokes it, and so may whoever has the right to.
        self.roles = Function(
            self,
            "Roles",
            house=house,
            name="identity-roles",
            handler="identity.jobs.roles_handler",
            timeout=Duration.seconds(15),
            memory=512,
            snap_start=False,
        )
        self.exports = Function(
            self,
            "Exports",
            house=house,
            name="identity-exports",
            handler="identity.jobs.exports_handler",
            timeout=Duration.minutes(15),  # identity.rules.EXPORT_LEASE is longer
            disk=Size.gibibytes(2),  # a ZIP with a month of photos
            environment={"CHALLY_OUTBOX_QUEUE_URL": outbox.url, "CHALLY_UPLOADS_BUCKET": uploads.bucket_name},
            snap_start=False,
        )
        self.exports.every(Duration.minutes(1))
        self.nightly = Function(
            self,
            "Nightly",
            house=house,
            name="identity-nightly",
            handler="identity.jobs.nightly_handler",
            timeout=Duration.minutes(15),
            memory=512,
            environment={"CHALLY_UPLOADS_BUCKET": uploads.bucket_name},
            snap_start=False,
        )
        self.nightly.every(Duration.days(1))
        self.keys_trigger = triggers.Trigger(self, "MakeKeys", handler=self.keys.function)

    def _secret(self, house: House, construct_id: str, description: str) -> str:
        """A secret that `keys` fills; its ARN."""
        secret = secretsmanager.Secret(
            self, construct_id, description=description, removal_policy=house.settings.removal_policy
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-SMG4",
                reason="A rotation must publish the next key before it signs, and keep the last one for what it "
                "signed. That is work for identity-keys, not for the one-step rotation of Secrets Manager.",
            )
        )
        # The documented ARN of a secret. MiniStack gives that as well, while its Ref is the secret's name.
        resource = secret.node.default_child
        assert isinstance(resource, secretsmanager.CfnSecret)
        return resource.attr_id
