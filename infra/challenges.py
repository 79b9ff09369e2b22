"""Challenges: what people do, and the windows they do it in."""

from aws_cdk import Duration
from constructs import Construct

from infra.function import Function, House


class Challenges(Construct):
    """`routes` answers HTTP; `windows` precomputes the windows of the days around today."""

    PATHS = ("/v1/challenges", "/v1/challenges/{proxy+}")

    def __init__(self, scope: Construct, id: str, *, house: House, outbox_queue_url: str) -> None:
        super().__init__(scope, id)
        environment = {"CHALLY_OUTBOX_QUEUE_URL": outbox_queue_url}
        self.routes = Function(
            self,
            "Routes",
            house=house,
            name="challenges",
            handler="challenges.routes.handler",
            timeout=Duration.seconds(15),
            environment=environment,
        )
        self.windows = Function(
            self,
            "Windows",
            house=house,
            name="challenge-windows",
            handler="challenges.jobs.windows_handler",
            timeout=Duration.minutes(5),
            memory=512,
            environment=environment,
        )
        self.windows.every(Duration.minutes(15))
