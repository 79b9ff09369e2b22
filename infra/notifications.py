"""Notifications: delivery of the outbox that every context writes to, and reminders."""

from aws_cdk import Acknowledgment, Duration, Validations
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_ses as ses
from constructs import Construct

from infra.function import Function, FunctionDefaults
from infra.queues import WorkQueue


class Notifications(Construct):
    """`outbox` delivers messages at once after a nudge, and every minute those whose nudge was lost; `housekeeping`
    deletes old ones. `reminders` writes due reminders to the outbox; `nightly` checks them.
    """

    def __init__(self, scope: Construct, construct_id: str, *, defaults: FunctionDefaults) -> None:
        super().__init__(scope, construct_id)
        mail_from = defaults.settings.mail_from
        sender = ses.EmailIdentity(self, "Sender", identity=ses.Identity.email(mail_from))
        # MiniStack requires the right to send as anyone, and then refuses unverified senders
        self.sender_arn = "*" if defaults.settings.local else sender.email_identity_arn
        secret = secretsmanager.Secret(
            self,
            "UnsubscribeSecret",
            description="The key that signs the links which switch off reminders. Created by the deploy.",
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            removal_policy=defaults.settings.removal_policy,
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-SMG4",
                reason="No person and no other system holds this key, and its signatures can only switch off a "
                "person's reminders. It is replaced by hand; links of the previous value stay valid.",
            )
        )
        # not the secret's Ref: see Identity
        resource = secret.node.default_child
        assert isinstance(resource, secretsmanager.CfnSecret)
        self.unsubscribe_secret_arn = resource.attr_id
        self.outbox = Function(
            self,
            "Outbox",
            defaults=defaults,
            name="outbox",
            handler="notifications.jobs.outbox_handler",
            connects_as=["chally_system"],
            schedule=Duration.minutes(1),
            timeout=Duration.seconds(30),
            memory=512,
            environment={
                "CHALLY_MAIL_FROM": mail_from,
                "CHALLY_UNSUBSCRIBE_SECRET_ARN": self.unsubscribe_secret_arn,
            },
            snap_start=True,
        )
        self.outbox_queue = WorkQueue(self, "OutboxQueue", worker=self.outbox)
        Function(
            self,
            "Housekeeping",
            defaults=defaults,
            name="outbox-housekeeping",
            handler="notifications.jobs.housekeeping_handler",
            connects_as=["chally_system"],
            schedule=Duration.minutes(5),
            timeout=Duration.minutes(1),
            memory=512,
        )
        self.reminders = Function(
            self,
            "Reminders",
            defaults=defaults,
            name="reminders",
            handler="notifications.jobs.reminders_handler",
            connects_as=["chally_system"],
            schedule=Duration.minutes(1),
            timeout=Duration.seconds(50),  # the next run starts in a minute
            memory=512,
            environment={"CHALLY_OUTBOX_QUEUE_URL": self.outbox_queue.url},
            snap_start=True,
        )
        self.nightly = Function(
            self,
            "Nightly",
            defaults=defaults,
            name="reminder-nightly",
            handler="notifications.jobs.nightly_handler",
            connects_as=["chally_system"],
            schedule=Duration.days(1),
            timeout=Duration.minutes(15),
            memory=512,
        )
