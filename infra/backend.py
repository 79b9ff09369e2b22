"""The whole system on one screen: its parts, its routes, every grant across parts, and the deployment order."""

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import CfnOutput, IStackSynthesizer, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.challenges import Challenges
from infra.database import Database, LocalDatabase, RdsDatabase
from infra.function import FunctionDefaults
from infra.gateway import Gateway
from infra.identity import Identity
from infra.malware import MalwareProtection
from infra.migrations import Migrations
from infra.monitoring import Monitoring
from infra.network import Network
from infra.notifications import Notifications
from infra.privacy import Privacy
from infra.proofs import Proofs
from infra.queues import DeadLetters
from infra.settings import DatabaseInstance, DatabaseUrls, StageSettings
from infra.storage import EXPORTS, PICTURES, UPLOADS, Storage
from infra.system import System

NOT_CODE = ["**/__pycache__", "**/*.pyc"]


class Backend(Stack):
    """One stage of Chally. `functions` is the directory of their code; `layers` maps each layer to its directory."""

    def __init__(
        self,
        scope: Construct,
        *,
        settings: StageSettings,
        functions: Path,
        layers: Mapping[str, Path],
        synthesizer: IStackSynthesizer | None = None,
    ) -> None:
        super().__init__(scope, settings.name, synthesizer=synthesizer, termination_protection=settings.stage == "prod")

        # The parts.
        network: Network | None = None
        database: Database
        match settings.database:
            case DatabaseUrls() as urls:
                database = LocalDatabase(urls=urls)
            case DatabaseInstance() as size:
                network = Network(self, "Network", settings=settings)
                database = RdsDatabase(self, "Database", settings=settings, size=size, network=network)
        gateway = Gateway(self, "Gateway", settings=settings)
        storage = Storage(self, "Storage", settings=settings)
        if settings.malware_scanner == "guardduty":
            MalwareProtection(self, "MalwareProtection", uploads=storage.uploads)
        failures = DeadLetters(self, "Failures", settings=settings)
        scheduler = iam.Role(
            self,
            "Scheduler",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": self.account}}
            ),
        )
        defaults = FunctionDefaults(
            settings=settings,
            code=lambda_.Code.from_asset(str(functions), exclude=NOT_CODE),
            layers={
                name: lambda_.LayerVersion(
                    self,
                    f"{name.title()}Layer",
                    # the wheels include their bytecode: compiling it took half a second of a cold start
                    code=lambda_.Code.from_asset(str(path), exclude=NOT_CODE if name == "core" else []),
                    compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
                )
                for name, path in layers.items()
            },
            public_url=gateway.url,
            network=network,
            failures=failures,
            # CDK would add the scheduler's grants by itself; they are made below
            scheduler=scheduler.without_policy_updates(),
        )
        migrations = Migrations(self, "Migrations", defaults=defaults)
        notifications = Notifications(self, "Notifications", defaults=defaults)
        outbox = notifications.outbox_queue
        identity = Identity(self, "Identity", defaults=defaults, gateway=gateway, outbox=outbox)
        challenges = Challenges(self, "Challenges", defaults=defaults, outbox=outbox)
        overlay, receipts = challenges.overlay_secret_arn, identity.receipt_secret_arn
        proofs = Proofs(
            self,
            "Proofs",
            defaults=defaults,
            outbox=outbox,
            uploads=storage.uploads,
            overlay_secret_arn=overlay,
            receipt_secret_arn=receipts,
        )
        verdicts = proofs.verdicts_queue
        unsubscribe = notifications.unsubscribe_secret_arn
        privacy = Privacy(
            self,
            "Privacy",
            defaults=defaults,
            outbox=outbox,
            uploads=storage.uploads,
            unsubscribe_secret_arn=unsubscribe,
        )
        system = System(self, "System", defaults=defaults, outbox=outbox, verdicts=verdicts)

        # Which function serves which path. The most specific path wins, and a method wins over any method.
        gateway.route(identity.routes, "/v1/auth/{proxy+}", "/v1/me", "/v1/me/{proxy+}")
        gateway.route(challenges.routes, "/v1/challenges", "/v1/challenges/{proxy+}")
        gateway.route(proofs.routes, "/v1/proofs/{proxy+}", "/v1/challenges/{id}/proofs")
        gateway.route(privacy.routes, "PATCH /v1/me", "DELETE /v1/me", "/v1/me/export", "/v1/me/timezone/preview")
        gateway.route(privacy.routes, "/v1/notifications/unsubscribe")
        gateway.route(system.routes, "/live", "/ready", "/health", "/version", "/.well-known/jwks.json")
        gateway.route(
            system.routes, "/.well-known/change-password", "/openapi.json", "/docs", "/docs/{proxy+}", "$default"
        )

        # Grants across parts.
        for writer in (
            *(identity.routes, challenges.routes, proofs.routes, proofs.verdicts, privacy.routes, privacy.exports),
            notifications.reminders,
        ):
            writer.allow("sqs:SendMessage", resources=[outbox.arn])
        for queue in (outbox, verdicts):
            queue.worker.allow(
                *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"), resources=[queue.arn]
            )
            system.routes.allow("sqs:GetQueueAttributes", resources=[queue.arn])
        identity.routes.allow("secretsmanager:GetSecretValue", resources=[identity.signing_secret_arn])
        proofs.routes.allow("secretsmanager:GetSecretValue", resources=[receipts])
        for secret in (identity.signing_secret_arn, receipts):
            identity.keys.allow("secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", resources=[secret])
        for signer in (notifications.outbox, privacy.routes):
            signer.allow("secretsmanager:GetSecretValue", resources=[unsubscribe])
        for signer in (challenges.routes, proofs.verdicts):
            signer.allow("secretsmanager:GetSecretValue", resources=[overlay])
        storage.grant_objects(privacy.routes, "s3:GetObject", prefix=EXPORTS)
        storage.grant_objects(privacy.exports, "s3:GetObject")
        storage.grant_objects(privacy.exports, "s3:GetObject", prefix=PICTURES)
        storage.grant_objects(privacy.exports, "s3:PutObject", prefix=EXPORTS)
        for eraser, prefixes in (
            (privacy.purge, (UPLOADS, PICTURES, EXPORTS)),
            (proofs.removals, (UPLOADS, PICTURES)),
        ):
            for prefix in prefixes:
                storage.grant_objects(eraser, "s3:DeleteObjectVersion", prefix=prefix)
            eraser.allow(
                "s3:ListBucketVersions",
                resources=[storage.uploads.bucket_arn],
                conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
            )
        storage.grant_objects(proofs.routes, "s3:PutObject")
        storage.grant_objects(proofs.routes, "s3:GetObject", prefix=PICTURES)
        storage.grant_objects(proofs.verdicts, "s3:PutObject", prefix=PICTURES)
        storage.grant_objects(proofs.verdicts, "s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObjectVersion")
        # without this right S3 returns 403, not 404, for an upload that has been deleted meanwhile
        for reader in (proofs.verdicts, privacy.exports):
            reader.allow("s3:ListBucket", resources=[storage.uploads.bucket_arn])
        notifications.outbox.allow("ses:SendEmail", resources=[notifications.sender_arn])

        # What follows from the declarations of the functions.
        declared = defaults.declared
        for function in declared:
            if function.connects_as:
                database.grant_connect(function, *function.connects_as)
        database.grant_administrator(migrations.function)
        scheduled = [function.alias.function_arn for function in declared if function.schedule]
        for action, resources in (
            ("lambda:InvokeFunction", scheduled),
            ("sqs:SendMessage", [failures.queue_arn]),
        ):
            scheduler.add_to_policy(iam.PolicyStatement(actions=[action], resources=resources))

        # Deployment order: database, schema, proxy (it signs in as roles that a migration creates), signing key, and
        # then the new code of every function that serves.
        if isinstance(database, RdsDatabase) and network:
            migrations.trigger.execute_after(network, database.instance)
            migrations.trigger.execute_before(database.proxy_targets)
            identity.keys_trigger.execute_after(database.proxy)
        identity.keys_trigger.execute_after(migrations.trigger)
        identity.keys_trigger.execute_before(
            *(function.alias for function in declared if function is not migrations.function)
        )

        if isinstance(database, RdsDatabase):
            Monitoring(
                self,
                "Monitoring",
                settings=settings,
                api=gateway.api,
                functions=declared,
                queues=[outbox, verdicts],
                failures=failures,
                database=database,
            )

        CfnOutput(self, "ApiUrl", value=gateway.url)
        CfnOutput(self, "UploadsBucket", value=storage.uploads.bucket_name)
        CfnOutput(self, "OutboxQueueUrl", value=outbox.url)
        CfnOutput(self, "VerdictsQueueUrl", value=verdicts.url)
        for function in declared:
            CfnOutput(self, f"{function.output_name}FunctionName", value=function.function_name)
