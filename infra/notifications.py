"""Notifications: the outbox that every context writes to, and reminders."""

from aws_cdk import Duration
from aws_cdk import aws_ses as ses
from constructs import Construct

from infra.function import Function, House
from infra.queues import WorkQueue


class Notifications(Construct):
    """`outbox` delivers what transactions promised: at once when nudged, and every minute what a lost nudge left.
    `reminders` writes what has fallen due to the outbox; `nightly` checks what it did.
    """

    def __init__(self, scope: Construct, construct_id: str, *, house: House) -> None:
        super().__init__(scope, construct_id)
        mail_from = house.settings.mail_from
        sender = ses.EmailIdentity(self, "Sender", identity=ses.Identity.email(mail_from))
        # MiniStack asks for the right to send as anyone, and then refuses whoever is not verified
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
            timeout=Duration.seconds(50),  # the next run comes in a minute
            memory=512,
            environment={"CHALLY_OUTBOX_QUEUE_URL": self.outbox_queue.url},
        )
        self.reminders.every(Duration.minutes(1))
        self.nightly = Function(
            self,
            "Nightly",
            house=house,
            name="reminder-nightly",
            handler="notifications.jobs.nightly_handler",
            timeout=Duration.minutes(15),
            memory=512,
            snap_start=False,
        )
        self.nightly.every(Duration.days(1))
