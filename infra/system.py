"""System: health, version, API description, and the default route."""

from aws_cdk import Duration
from constructs import Construct

from infra.function import Function, FunctionDefaults
from infra.queues import WorkQueue


class System(Construct):
    """`routes` serves HTTP."""

    def __init__(
        self, scope: Construct, construct_id: str, *, defaults: FunctionDefaults, outbox: WorkQueue, verdicts: WorkQueue
    ) -> None:
        super().__init__(scope, construct_id)
        self.routes = Function(
            self,
            "Routes",
            defaults=defaults,
            name="system",
            handler="system.routes.handler",
            connects_as=["chally_app"],
            timeout=Duration.seconds(15),
            environment={
                "CHALLY_OUTBOX_QUEUE_URL": outbox.url,
                "CHALLY_VERDICTS_QUEUE_URL": verdicts.url,
                "CHALLY_MALWARE_SCANNER": defaults.settings.malware_scanner,
            },
            snap_start=True,
        )
