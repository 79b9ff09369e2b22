"""Challenges: what people do, and the windows in which they do it."""

from aws_cdk import Acknowledgment, Duration, Validations
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.function import Function, House
from infra.queues import WorkQueue


class Challenges(Construct):
    """`routes` answers HTTP; `windows` precomputes the windows of the days around today; `nightly` checks counts."""

    def __init__(self, scope: Construct, construct_id: str, *, house: House, outbox: WorkQueue) -> None:
        super().__init__(scope, construct_id)
        secret = secretsmanager.Secret(
            self,
            "OverlaySecret",
            description="The key that signs the codes which photos must show; the deploy makes it.",
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            removal_policy=house.settings.removal_policy,
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-SMG4",
                reason="No person and no other system holds it, and what it signs is of use for a day. Who fears for "
                "it puts another value; the one before stays good for the windows that are open.",
            )
        )
        # Not the secret's Ref: see Identity.
        resource = secret.node.default_child
        assert isinstance(resource, secretsmanager.CfnSecret)
        self.overlay_secret_arn = resource.attr_id
        self.routes = Function(
            self,
            "Routes",
            house=house,
            name="challenges",
            handler="challenges.routes.handler",
            timeout=Duration.seconds(15),
            environment={
                "CHALLY_OUTBOX_QUEUE_URL": outbox.url,
                "CHALLY_OVERLAY_SECRET_ARN": self.overlay_secret_arn,
            },
        )
        self.windows = Function(
            self,
            "Windows",
            house=house,
            name="challenge-windows",
            handler="challenges.jobs.windows_handler",
            timeout=Duration.minutes(5),
            memory=512,
        )
        self.windows.every(Duration.minutes(15))
        self.nightly = Function(
            self,
            "Nightly",
            house=house,
            name="challenge-nightly",
            handler="challenges.jobs.nightly_handler",
            timeout=Duration.minutes(15),
            memory=512,
            snap_start=False,
        )
        self.nightly.every(Duration.days(1))
