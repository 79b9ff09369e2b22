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
from infra.malware import MalwareProtection
from infra.migrations import Migrations
from infra.monitoring import Monitoring
from infra.network import Network
from infra.notifications import Notifications
from infra.proofs import Proofs
from infra.queues import DeadLetters
from infra.settings import DatabaseInstance, DatabaseUrls, Settings
from infra.storage import EXPORTS, PICTURES, UPLOADS, Storage
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
        house = House(
            settings=settings,
            code=lambda_.Code.from_asset(str(functions), exclude=NOT_CODE),
            layers={
                name: lambda_.LayerVersion(
                    self,
                    f"{name.title()}Layer",
                    # the wheels' bytecode goes along: compiled at a cold start it cost half a second
                    code=lambda_.Code.from_asset(str(path), exclude=NOT_CODE if name == "core" else []),
                    compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
                )
                for name, path in layers.items()
            },
            public_url=gateway.url,
            network=network,
            failures=failures,
            # schedules would write grants of their own; all are made here
            scheduler=scheduler.without_policy_updates(),
        )
        migrations = Migrations(self, "Migrations", house=house)
        notifications = Notifications(self, "Notifications", house=house)
        outbox = notifications.outbox_queue
        identity = Identity(self, "Identity", house=house, gateway=gateway, outbox=outbox, uploads=storage.uploads)
        challenges = Challenges(self, "Challenges", house=house, outbox=outbox)
        overlay, receipts = challenges.overlay_secret_arn, identity.receipt_secret_arn
        proofs = Proofs(
            self,
            "Proofs",
            house=house,
            outbox=outbox,
            uploads=storage.uploads,
            overlay_secret_arn=overlay,
            receipt_secret_arn=receipts,
        )
        verdicts = proofs.verdicts_queue
        system = System(self, "System", house=house, outbox=outbox, verdicts=verdicts)

        # What answers which path: the most specific wins.
        gateway.route(identity.routes, "/v1/auth/{proxy+}", "/v1/me", "/v1/me/{proxy+}")
        gateway.route(challenges.routes, "/v1/challenges", "/v1/challenges/{proxy+}", "/v1/me/timezone/preview")
        gateway.route(proofs.routes, "/v1/proofs/{proxy+}", "/v1/challenges/{id}/proofs")
        gateway.route(system.routes, "/live", "/ready", "/health", "/version", "/.well-known/jwks.json")
        gateway.route(system.routes, "/openapi.json", "/docs", "/docs/{proxy+}", "$default")

        # Who connects to Postgres as whom.
        database.admit_administrator(migrations.function)
        database.admit(identity.routes, "chally_app", "chally_system")
        database.admit(identity.keys, "chally_system")
        database.admit(identity.roles, "chally_system")
        database.admit(identity.exports, "chally_system")
        database.admit(identity.nightly, "chally_system")
        database.admit(challenges.routes, "chally_app")
        database.admit(challenges.windows, "chally_system")
        database.admit(challenges.nightly, "chally_system")
        database.admit(proofs.routes, "chally_app", "chally_system")
        database.admit(proofs.verdicts, "chally_system")
        database.admit(proofs.removals, "chally_system")
        database.admit(notifications.reminders, "chally_system")
        database.admit(notifications.nightly, "chally_system")
        database.admit(notifications.outbox, "chally_system")
        database.admit(system.routes, "chally_app")

        # Who may do what.
        writers = (identity.routes, identity.exports, challenges.routes, proofs.routes, proofs.verdicts)
        for writer in (*writers, notifications.reminders):
            writer.allow("sqs:SendMessage", on=[outbox.arn])
        for queue in (outbox, verdicts):
            queue.worker.allow("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", on=[queue.arn])
            system.routes.allow("sqs:GetQueueAttributes", on=[queue.arn])
        identity.routes.allow("secretsmanager:GetSecretValue", on=[identity.signing_secret_arn])
        proofs.routes.allow("secretsmanager:GetSecretValue", on=[receipts])
        for secret in (identity.signing_secret_arn, receipts):
            identity.keys.allow("secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", on=[secret])
        for signer in (challenges.routes, proofs.verdicts):
            signer.allow("secretsmanager:GetSecretValue", on=[overlay])
        storage.admit(identity.routes, "s3:GetObject", under=EXPORTS)
        storage.admit(identity.exports, "s3:GetObject")
        storage.admit(identity.exports, "s3:GetObject", under=PICTURES)
        storage.admit(identity.exports, "s3:PutObject", under=EXPORTS)
        for eraser, prefixes in (
            (identity.nightly, (UPLOADS, PICTURES, EXPORTS)),
            (proofs.removals, (UPLOADS, PICTURES)),
        ):
            for prefix in prefixes:
                storage.admit(eraser, "s3:DeleteObjectVersion", under=prefix)
            eraser.allow(
                "s3:ListBucketVersions",
                on=[storage.uploads.bucket_arn],
                when={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
            )
        storage.admit(proofs.routes, "s3:PutObject")
        storage.admit(proofs.routes, "s3:GetObject", under=PICTURES)
        storage.admit(proofs.verdicts, "s3:PutObject", under=PICTURES)
        storage.admit(proofs.verdicts, "s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObjectVersion")
        # without it S3 answers 403, not 404, for an upload that was deleted meanwhile, which is no failure of ours
        for reader in (proofs.verdicts, identity.exports):
            reader.allow("s3:ListBucket", on=[storage.uploads.bucket_arn])
        notifications.outbox.allow("ses:SendEmail", on=[notifications.sender_arn])
        nights = (identity.keys, identity.nightly, challenges.nightly, notifications.nightly)
        often = (identity.exports, challenges.windows, proofs.removals, notifications.reminders, notifications.outbox)
        scheduled = (*nights, *often)
        for job in scheduled:
            job.allow("sqs:SendMessage", on=[failures.queue_arn])
        scheduler.add_to_policy(
            iam.PolicyStatement(
                actions=["lambda:InvokeFunction"], resources=[job.alias.function_arn for job in scheduled]
            )
        )
        scheduler.add_to_policy(iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[failures.queue_arn]))

        # In which order: the database, its schema, the proxy (which signs in as roles that a migration makes), the
        # signing key, and only then the new code of all that serves.
        serving = {
            "Identity": identity.routes,
            "IdentityKeys": identity.keys,
            "IdentityRoles": identity.roles,
            "IdentityExports": identity.exports,
            "IdentityNightly": identity.nightly,
            "Challenges": challenges.routes,
            "ChallengeWindows": challenges.windows,
            "ChallengeNightly": challenges.nightly,
            "Proofs": proofs.routes,
            "ProofVerdicts": proofs.verdicts,
            "ProofRemovals": proofs.removals,
            "Reminders": notifications.reminders,
            "ReminderNightly": notifications.nightly,
            "Outbox": notifications.outbox,
            "System": system.routes,
        }
        if isinstance(database, RdsDatabase) and network:
            migrations.trigger.execute_after(network, database.instance)
            migrations.trigger.execute_before(database.proxy_targets)
            identity.keys_trigger.execute_after(database.proxy)
        identity.keys_trigger.execute_after(migrations.trigger)
        identity.keys_trigger.execute_before(*(function.alias for function in serving.values()))
        functions_by_name = {"Migrations": migrations.function, **serving}

        if isinstance(database, RdsDatabase):
            Monitoring(
                self,
                "Monitoring",
                settings=settings,
                api=gateway.api,
                functions=list(functions_by_name.values()),
                queues=[outbox, verdicts],
                failures=failures,
                database=database,
            )

        CfnOutput(self, "ApiUrl", value=gateway.url)
        CfnOutput(self, "UploadsBucket", value=storage.uploads.bucket_name)
        CfnOutput(self, "OutboxQueueUrl", value=outbox.url)
        CfnOutput(self, "VerdictsQueueUrl", value=verdicts.url)
        for name, function in functions_by_name.items():
            CfnOutput(self, f"{name}FunctionName", value=function.function_name)
