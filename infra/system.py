"""System: is it up, what is it, and how is it used; and the answer to what nobody else answers."""

from aws_cdk import Duration
from constructs import Construct

from infra.function import Function, House
from infra.gateway import DEFAULT_ROUTE


class System(Construct):
    """`routes` answers HTTP."""

    PATHS = (
        "/live",
        "/ready",
        "/health",
        "/version",
        "/.well-known/jwks.json",
        "/openapi.json",
        "/docs",
        "/docs/{proxy+}",
        DEFAULT_ROUTE,
    )

    def __init__(
        self, scope: Construct, id: str, *, house: House, outbox_queue_url: str, verdicts_queue_url: str
    ) -> None:
        super().__init__(scope, id)
        self.routes = Function(
            self,
            "Routes",
            house=house,
            name="system",
            handler="system.routes.handler",
            timeout=Duration.seconds(15),
            environment={
                "CHALLY_OUTBOX_QUEUE_URL": outbox_queue_url,
                "CHALLY_VERDICTS_QUEUE_URL": verdicts_queue_url,
            },
        )
