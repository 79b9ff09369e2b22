"""Proofs: uploads, and the verdicts on them."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.function import Function, House
from infra.queues import WorkQueue
from infra.storage import UPLOADS


class Proofs(Construct):
    """`routes` answers HTTP and pre-signs uploads; `verdicts` decides on each upload that S3 announces."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        house: House,
        outbox: WorkQueue,
        uploads: s3.IBucket,
        overlay_secret_arn: str,
    ) -> None:
        super().__init__(scope, construct_id)
        environment = {"CHALLY_OUTBOX_QUEUE_URL": outbox.url, "CHALLY_UPLOADS_BUCKET": uploads.bucket_name}
        self.routes = Function(
            self,
            "Routes",
            house=house,
            name="proofs",
            handler="proofs.routes.handler",
            timeout=Duration.seconds(15),
            environment=environment,
        )
        self.verdicts = Function(
            self,
            "Verdicts",
            house=house,
            name="proof-verdicts",
            handler="proofs.jobs.verdicts_handler",
            # a batch of ten photos: fetching one, decoding it (a whole vCPU, and 36 MB for 12 megapixels) and hashing
            # it should take half a second
            timeout=Duration.seconds(60),
            layers=["imaging"],
            environment=environment | {"CHALLY_OVERLAY_SECRET_ARN": overlay_secret_arn},
        )
        self.verdicts_queue = WorkQueue(self, "VerdictsQueue", worker=self.verdicts)
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
            targets=[targets.SqsQueue(self.verdicts_queue.queue, dead_letter_queue=self.verdicts_queue.dead_letters)],
        )
