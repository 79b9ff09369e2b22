"""Privacy: export and deletion of personal data, and changes of an account that other contexts follow."""

from aws_cdk import Duration, Size
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.function import Function, FunctionDefaults
from infra.queues import WorkQueue


class Privacy(Construct):
    """`routes` serves HTTP; `exports` builds the ZIPs that users request; `purge` erases deleted accounts."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        defaults: FunctionDefaults,
        outbox: WorkQueue,
        uploads: s3.IBucket,
        unsubscribe_secret_arn: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self.routes = Function(
            self,
            "Routes",
            defaults=defaults,
            name="privacy",
            handler="privacy.routes.handler",
            connects_as=["chally_app", "chally_system"],
            timeout=Duration.seconds(15),
            environment={
                "CHALLY_OUTBOX_QUEUE_URL": outbox.url,
                "CHALLY_UPLOADS_BUCKET": uploads.bucket_name,
                "CHALLY_UNSUBSCRIBE_SECRET_ARN": unsubscribe_secret_arn,
            },
            snap_start=True,
        )
        self.exports = Function(
            self,
            "Exports",
            defaults=defaults,
            name="privacy-exports",
            handler="privacy.jobs.exports_handler",
            connects_as=["chally_system"],
            schedule=Duration.minutes(1),
            timeout=Duration.minutes(15),  # privacy.rules.EXPORT_LEASE is longer
            disk=Size.gibibytes(2),  # a ZIP with a month of photos
            environment={"CHALLY_OUTBOX_QUEUE_URL": outbox.url, "CHALLY_UPLOADS_BUCKET": uploads.bucket_name},
        )
        self.purge = Function(
            self,
            "Purge",
            defaults=defaults,
            name="privacy-purge",
            handler="privacy.jobs.purge_handler",
            connects_as=["chally_system"],
            schedule=Duration.days(1),
            timeout=Duration.minutes(15),
            memory=512,
            environment={"CHALLY_UPLOADS_BUCKET": uploads.bucket_name},
        )
