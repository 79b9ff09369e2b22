"""Challenges: what people do, and the windows in which they do it."""

from aws_cdk import Duration
from constructs import Construct

from infra.function import Function, House
from infra.queues import WorkQueue


class Challenges(Construct):
    """`routes` answers HTTP; `windows` precomputes the windows of the days around today; `nightly` checks counts
    and standings.
    """

    def __init__(self, scope: Construct, construct_id: str, *, house: House, outbox: WorkQueue) -> None:
        super().__init__(scope, construct_id)
        self.routes = Function(
            self,
            "Routes",
            house=house,
            name="challenges",
            handler="challenges.routes.handler",
            timeout=Duration.seconds(15),
            environment={"CHALLY_OUTBOX_QUEUE_URL": outbox.url},
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
