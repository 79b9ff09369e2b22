"""Proofs: uploads and their verdicts."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.function import Function, FunctionDefaults
from infra.queues import WorkQueue
from infra.storage import UPLOADS


class Proofs(Construct):
    """`routes` serves HTTP and pre-signs uploads; `verdicts` decides each upload that S3 reports; `removals` deletes
    the objects of withdrawn proofs.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        defaults: FunctionDefaults,
        outbox: WorkQueue,
        uploads: s3.IBucket,
        overlay_secret_arn: str,
        receipt_secret_arn: str,
    ) -> None:
        super().__init__(scope, construct_id)
        environment = {"CHALLY_OUTBOX_QUEUE_URL": outbox.url, "CHALLY_UPLOADS_BUCKET": uploads.bucket_name}
        settings = defaults.settings
        scanner: dict[str, str] = {"CHALLY_MALWARE_SCANNER": settings.malware_scanner}
        if settings.clamd_url:
            scanner["CHALLY_CLAMD_URL"] = settings.clamd_url
        self.routes = Function(
            self,
            "Routes",
            defaults=defaults,
            name="proofs",
            handler="proofs.routes.handler",
            connects_as=["chally_app", "chally_system"],
            timeout=Duration.seconds(15),
            environment=environment | {"CHALLY_RECEIPT_SECRET_ARN": receipt_secret_arn},
            snap_start=True,
        )
        self.removals = Function(
            self,
            "Removals",
            defaults=defaults,
            name="proof-removals",
            handler="proofs.jobs.removals_handler",
            connects_as=["chally_system"],
            schedule=Duration.hours(1),
            timeout=Duration.minutes(2),
            layers=["imaging"],  # its module also contains the entry point of the verdicts
            environment={"CHALLY_UPLOADS_BUCKET": uploads.bucket_name},
        )
        self.verdicts = Function(
            self,
            "Verdicts",
            defaults=defaults,
            name="proof-verdicts",
            handler="proofs.jobs.verdicts_handler",
            connects_as=["chally_system"],
            # A batch is ten photos, and fetching, reading (a whole vCPU, 100 MB for 12 megapixels) and comparing one
            # takes half a second. The slowest may take 20 seconds: what a batch has no time for is delivered again.
            timeout=Duration.seconds(60),
            layers=["imaging"],
            environment=environment | scanner | {"CHALLY_OVERLAY_SECRET_ARN": overlay_secret_arn},
            snap_start=True,
        )
        # twelve attempts, six minutes apart: a virus scanner may be unavailable for over an hour before messages become
        # dead letters
        self.verdicts_queue = WorkQueue(self, "VerdictsQueue", worker=self.verdicts, attempts=12)
        to_verdicts = targets.SqsQueue(self.verdicts_queue.queue, dead_letter_queue=self.verdicts_queue.dead_letters)
        events.Rule(
            self,
            "Uploaded",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [uploads.bucket_name]},
                    "object": {"key": [{"prefix": UPLOADS}]},
                },
            ),
            targets=[to_verdicts],
        )
        if settings.malware_scanner == "guardduty":
            events.Rule(
                self,
                "Scanned",
                event_pattern=events.EventPattern(
                    source=["aws.guardduty"],
                    detail_type=["GuardDuty Malware Protection Object Scan Result"],
                    detail={
                        "s3ObjectDetails": {
                            "bucketName": [uploads.bucket_name],
                            "objectKey": [{"prefix": UPLOADS}],
                        }
                    },
                ),
                targets=[to_verdicts],
            )
