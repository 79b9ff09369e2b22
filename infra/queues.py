"""Queues: work for one function, and what could not be done."""

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.function import Function
from infra.settings import Settings

# long enough to be seen, fixed and sent again after a bad weekend
DEAD_LETTER_RETENTION = Duration.days(14)


class DeadLetters(sqs.Queue):
    """Where messages and events go that failed for good; its depth raises an alarm."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:
        super().__init__(
            scope,
            id,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=not settings.local,  # MiniStack speaks plain HTTP, and enforces the policy
            retention_period=DEAD_LETTER_RETENTION,
        )


class WorkQueue(Construct):
    """An SQS queue that one function takes in batches of ten, and the dead letters it leaves.

    The worker answers with the messages that failed (ReportBatchItemFailures); five failures make a dead letter.
    """

    def __init__(self, scope: Construct, id: str, *, worker: Function) -> None:
        super().__init__(scope, id)
        self.dead_letters = DeadLetters(self, "DeadLetters", settings=worker.house.settings)
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=not worker.house.settings.local,
            # six times the worker's timeout, so that a throttled batch is not handed out a second time
            # (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html)
            visibility_timeout=Duration.seconds(6 * worker.timeout.to_seconds()),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=5),
        )
        lambda_.EventSourceMapping(
            self,
            "Source",
            target=worker.alias,
            event_source_arn=self.queue.queue_arn,
            batch_size=10,
            report_batch_item_failures=True,
        )
