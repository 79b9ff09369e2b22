"""Challenges and the windows in which people prove them."""

from aws_cdk import Acknowledgment, Duration, Validations
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.function import Function, FunctionDefaults
from infra.queues import WorkQueue


class Challenges(Construct):
    """`routes` serves HTTP; `windows` computes the windows from yesterday to the day after tomorrow; `nightly` checks
    counts, standings and time zones.
    """

    def __init__(self, scope: Construct, construct_id: str, *, defaults: FunctionDefaults, outbox: WorkQueue) -> None:
        super().__init__(scope, construct_id)
        secret = secretsmanager.Secret(
            self,
            "OverlaySecret",
            description="The key that signs the codes which photos must show. Created by the deploy.",
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            removal_policy=defaults.settings.removal_policy,
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-SMG4",
                reason="No person and no other system holds this key, and its signatures are valid for a day. It is "
                "replaced by hand; the previous value stays valid for open windows.",
            )
        )
        # not the secret's Ref: see Identity
        resource = secret.node.default_child
        assert isinstance(resource, secretsmanager.CfnSecret)
        self.overlay_secret_arn = resource.attr_id
        self.routes = Function(
            self,
            "Routes",
            defaults=defaults,
            name="challenges",
            handler="challenges.routes.handler",
            connects_as=["chally_app"],
            timeout=Duration.seconds(15),
            environment={
                "CHALLY_OUTBOX_QUEUE_URL": outbox.url,
                "CHALLY_OVERLAY_SECRET_ARN": self.overlay_secret_arn,
            },
            snap_start=True,
        )
        self.windows = Function(
            self,
            "Windows",
            defaults=defaults,
            name="challenge-windows",
            handler="challenges.jobs.windows_handler",
            connects_as=["chally_system"],
            schedule=Duration.minutes(15),
            timeout=Duration.minutes(5),
            memory=512,
            snap_start=True,
        )
        self.nightly = Function(
            self,
            "Nightly",
            defaults=defaults,
            name="challenge-nightly",
            handler="challenges.jobs.nightly_handler",
            connects_as=["chally_system"],
            schedule=Duration.days(1),
            timeout=Duration.minutes(15),
            memory=512,
        )
