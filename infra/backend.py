"""The whole system on one screen: what exists, how it is wired, and who may do what."""

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import triggers
from constructs import Construct

from infra.challenges import Challenges
from infra.database import LocalDatabase, Migrations
from infra.function import House
from infra.gateway import Gateway
from infra.identity import Identity
from infra.notifications import Notifications
from infra.proofs import Proofs
from infra.queues import DeadLetters
from infra.settings import DatabaseUrls, Settings
from infra.storage import Storage
from infra.system import System


class Backend(Stack):
    """Chally, in one stage."""

    def __init__(self, scope: Construct, *, settings: Settings, functions: Path, layers: Mapping[str, Path], **stack) -> None:
        super().__init__(scope, settings.name, **stack)
        gateway = Gateway(self, "Gateway", settings=settings)
        storage = Storage(self, "Storage", settings=settings)
        failures = DeadLetters(self, "Failures", settings=settings)
        signing_secret = secretsmanager.Secret(self, "SigningSecret").node.default_child
        assert isinstance(signing_secret, secretsmanager.CfnSecret)
        # the ARN in AWS and in MiniStack, whose Ref of a secret is its name
        signing_secret_arn = signing_secret.attr_id
        scheduler = iam.Role(self, "Scheduler", assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com"))
        assert isinstance(settings.database, DatabaseUrls)
        database = LocalDatabase(urls=settings.database)
        house = House(
            settings=settings,
            code=lambda_.Code.from_asset(str(functions), exclude=["**/__pycache__", "**/*.pyc"]),
            layers={
                name: lambda_.LayerVersion(
                    self,
                    f"{name.title()}Layer",
                    code=lambda_.Code.from_asset(
                        str(path),
                        exclude=["**/__pycache__", "**/*.pyc"],
                    ),
                    compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
                )
                for name, path in layers.items()
            },
            public_url=gateway.url,
            failures=failures,
            scheduler=scheduler.without_policy_updates(),
        )
        migrations = Migrations(self, "Migrations", house=house)
        notifications = Notifications(self, "Notifications", house=house)
        outbox = notifications.outbox_queue.queue
        identity = Identity(
            self,
            "Identity",
            house=house,
            outbox_queue_url=outbox.queue_url,
            signing_secret_arn=signing_secret_arn,
        )
        challenges = Challenges(self, "Challenges", house=house, outbox_queue_url=outbox.queue_url)
        proofs = Proofs(self, "Proofs", house=house, outbox_queue_url=outbox.queue_url, uploads=storage.uploads)
        verdicts = proofs.verdicts_queue.queue
        system = System(
            self,
            "System",
            house=house,
            outbox_queue_url=outbox.queue_url,
            verdicts_queue_url=verdicts.queue_url,
        )

        gateway.route(identity.routes, *Identity.PATHS)
        gateway.route(challenges.routes, *Challenges.PATHS)
        gateway.route(proofs.routes, *Proofs.PATHS)
        gateway.route(system.routes, *System.PATHS)

        # Who may connect to Postgres as whom.
        database.admit_owner(migrations.function)
        database.admit(identity.routes, "app", "system")
        database.admit(identity.keys, "system")
        database.admit(challenges.routes, "app")
        database.admit(challenges.windows, "system")
        database.admit(proofs.routes, "app")
        database.admit(proofs.verdicts, "system")
        database.admit(notifications.reminders, "system")
        database.admit(notifications.outbox, "system")
        database.admit(system.routes, "app")

        # Who may do what to which resource.
        for writer in (identity.routes, challenges.routes, proofs.routes, proofs.verdicts, notifications.reminders):
            writer.allow("sqs:SendMessage", on=outbox.queue_arn)
        identity.routes.allow("secretsmanager:GetSecretValue", on=signing_secret_arn)
        identity.keys.allow("secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", on=signing_secret_arn)
        proofs.routes.allow("s3:PutObject", on=storage.uploads.arn_for_objects("uploads/*"))
        proofs.verdicts.allow("s3:GetObject", "s3:GetObjectVersion", on=storage.uploads.arn_for_objects("uploads/*"))
        notifications.outbox.allow("ses:SendEmail", on=notifications.sender_arn)
        for queue in (outbox, verdicts):
            system.routes.allow("sqs:GetQueueAttributes", on=queue.queue_arn)
        for worker, queue in ((notifications.outbox, outbox), (proofs.verdicts, verdicts)):
            worker.allow("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", on=queue.queue_arn)
        for job in (challenges.windows, notifications.reminders, notifications.outbox):
            job.allow("sqs:SendMessage", on=failures.queue_arn)
            scheduler.add_to_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[job.alias.function_arn]))
        scheduler.add_to_policy(iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[failures.queue_arn]))

        keys = triggers.Trigger(self, "SigningKeys", handler=identity.keys.function)
        keys.execute_after(migrations.trigger)
        functions = (identity.routes, identity.keys, challenges.routes, challenges.windows, proofs.routes, proofs.verdicts,
            notifications.reminders, notifications.outbox, system.routes)
        migrations.trigger.execute_before(*(f.alias for f in functions))

        CfnOutput(self, "ApiUrl", value=gateway.url)
        CfnOutput(self, "UploadsBucket", value=storage.uploads.bucket_name)
        CfnOutput(self, "OutboxQueueUrl", value=outbox.queue_url)
        CfnOutput(self, "VerdictsQueueUrl", value=verdicts.queue_url)
