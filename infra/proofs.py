"""Proofs: uploads, and the verdicts on them."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.function import Function, House
from infra.queues import WorkQueue
from infra.storage import UPLOADS_PREFIX


class Proofs(Construct):
    """`routes` answers HTTP and pre-signs uploads; `verdicts` looks at each upload that S3 announces."""

    # the second is more specific than challenges' proxy, and so wins over it
    PATHS = ("/v1/proofs/{proxy+}", "/v1/challenges/{id}/proofs")

    def __init__(
        self, scope: Construct, id: str, *, house: House, outbox_queue_url: str, uploads: s3.IBucket
    ) -> None:
        super().__init__(scope, id)
        environment = {"CHALLY_OUTBOX_QUEUE_URL": outbox_queue_url, "CHALLY_UPLOADS_BUCKET": uploads.bucket_name}
        self.routes = Function(
            self,
            "Routes",
            house=house,
            name="proofs",
            handler="proofs.routes.handler",
            timeout=Duration.seconds(15),
            environment=environment,
        )
        # One vCPU: decoding and hashing a 12-megapixel photo is a tenth of a second of it at best, and its pixels
        # are 36 MB. Ten of them, each fetched from S3, fit in the timeout.
        self.verdicts = Function(
            self,
            "Verdicts",
            house=house,
            name="proof-verdicts",
            handler="proofs.jobs.verdicts_handler",
            timeout=Duration.seconds(60),
            layers=["imaging"],
            environment=environment,
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
                    "object": {"key": [{"prefix": UPLOADS_PREFIX}]},
                },
            ),
            targets=[targets.SqsQueue(self.verdicts_queue.queue, dead_letter_queue=self.verdicts_queue.dead_letters)],
        )
