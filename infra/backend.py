"""The whole system on one screen: what there is, how it hangs together, and every grant."""

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import CfnOutput, IStackSynthesizer, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.challenges import Challenges
from infra.database import Database, LocalDatabase, RdsDatabase
from infra.function import House
from infra.gateway import Gateway
from infra.identity import Identity
from infra.migrations import Migrations
from infra.monitoring import Monitoring
from infra.network import Network
from infra.notifications import Notifications
from infra.proofs import Proofs
from infra.queues import DeadLetters
from infra.settings import DatabaseInstance, DatabaseUrls, Settings
from infra.storage import UPLOADS, Storage
from infra.system import System

NOT_CODE = ["**/__pycache__", "**/*.pyc"]


class Backend(Stack):
    """One stage of Chally. `functions` holds the code of them all; `layers` has the directory of each layer."""

    def __init__(
        self,
        scope: Construct,
        *,
        settings: Settings,
        functions: Path,
        layers: Mapping[str, Path],
        synthesizer: IStackSynthesizer | None = None,
    ) -> None:
        super().__init__(scope, settings.name, synthesizer=synthesizer, termination_protection=settings.stage == "prod")

        # What there is.
        network = None if settings.local else Network(self, "Network", settings=settings)
        gateway = Gateway(self, "Gateway", settings=settings)
        storage = Storage(self, "Storage", settings=settings)
        failures = DeadLetters(self, "Failures", settings=settings)
        scheduler = iam.Role(self, "Scheduler", assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com"))
        house = House(
            settings=settings,
            code=lambda_.Code.from_asset(str(functions), exclude=NOT_CODE),
            layers={
                name: lambda_.LayerVersion(
                    self,
                    f"{name.title()}Layer",
                    code=lambda_.Code.from_asset(str(path), exclude=NOT_CODE),
                    compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
                )
                for name, path in layers.items()
            },
            public_url=gateway.url,
            network=network,
            failures=failures,
            # schedules would write grants of their own; they are all made below
            scheduler=scheduler.without_policy_updates(),
        )
