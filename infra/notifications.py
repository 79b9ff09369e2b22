"""Notifications: the outbox that every context writes to, and reminders."""

from aws_cdk import Duration
from aws_cdk import aws_ses as ses
from constructs import Construct

from infra.function import Function, House
from infra.queues import WorkQueue


class Notifications(Construct):
    """`outbox` delivers what a transaction promised: at once when nudged, and swept every minute for lost nudges.
    `reminders` puts what has fallen due into the outbox.
    """

    def __init__(self, scope: Construct, id: str, *, house: House) -> None:
        super().__init__(scope, id)
        mail_from = house.settings.mail_from
        sender = ses.EmailIdentity(self, "Sender", identity=ses.Identity.email(mail_from))
        # MiniStack asks whether mail may be sent from anyone at all
        self.sender_arn = "*" if house.settings.local else sender.email_identity_arn
        self.outbox = Function(
            self,
            "Outbox",
            house=house,
            name="outbox",
            handler="notifications.jobs.outbox_handler",
            timeout=Duration.seconds(30),
            memory=512,
            environment={"CHALLY_MAIL_FROM": mail_from},
        )
        self.outbox.every(Duration.minutes(1))
        self.outbox_queue = WorkQueue(self, "OutboxQueue", worker=self.outbox)
        self.reminders = Function(
            self,
            "Reminders",
            house=house,
            name="reminders",
            handler="notifications.jobs.reminders_handler",
            timeout=Duration.seconds(50),
            memory=512,
            environment={"CHALLY_OUTBOX_QUEUE_URL": self.outbox_queue.queue.queue_url},
        )
        self.reminders.every(Duration.minutes(1))
