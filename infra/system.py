"""System: is it up, what is it, how is it used; and the answer to what nobody else answers."""

from aws_cdk import Duration
from constructs import Construct

from infra.function import Function, House
from infra.queues import WorkQueue


class System(Construct):
    """`routes` answers HTTP."""

    def __init__(
        self, scope: Construct, construct_id: str, *, house: House, outbox: WorkQueue, verdicts: WorkQueue
    ) -> None:
        super().__init__(scope, construct_id)
        self.routes = Function(
            self,
            "Routes",
            house=house,
            name="system",
            handler="system.routes.handler",
            timeout=Duration.seconds(15),
            environment={
                "CHALLY_OUTBOX_QUEUE_URL": outbox.url,
                "CHALLY_VERDICTS_QUEUE_URL": verdicts.url,
                "CHALLY_MALWARE_SCANNER": house.settings.malware_scanner,
            },
        )
