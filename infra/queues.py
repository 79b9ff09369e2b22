"""Work queues and dead letters."""

from aws_cdk import Acknowledgment, Duration, Validations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.function import Function
from infra.settings import StageSettings


class DeadLetters(sqs.Queue):
    """A queue for messages and events that failed every attempt; an alarm reports when it is not empty."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: StageSettings) -> None:
        super().__init__(
            scope,
            construct_id,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=not settings.local,  # MiniStack speaks plain HTTP and enforces the policy
            retention_period=Duration.days(14),
        )
        Validations.of(self).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-SQS3",
                reason="This is a dead-letter queue: of a work queue, a schedule or an asynchronous invocation.",
            )
        )


class WorkQueue(Construct):
    """An SQS queue that one function reads in batches of ten, and its dead letters.

    The worker reports the messages that failed (ReportBatchItemFailures). After `attempts` a message becomes a dead
    letter.
    """

    def __init__(self, scope: Construct, construct_id: str, *, worker: Function, attempts: int = 5) -> None:
        super().__init__(scope, construct_id)
        settings = worker.defaults.settings
        self.worker = worker
        self.dead_letters = DeadLetters(self, "DeadLetters", settings=settings)
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=not settings.local,
            # six times the worker's timeout, so that a throttled batch is not delivered a second time
            # (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html)
            visibility_timeout=Duration.seconds(6 * worker.timeout.to_seconds()),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=attempts),
        )
        lambda_.EventSourceMapping(
            self,
            "Source",
            target=worker.alias,
            event_source_arn=self.arn,
            batch_size=10,
            report_batch_item_failures=True,
        )

    @property
    def arn(self) -> str:
        return self.queue.queue_arn

    @property
    def url(self) -> str:
        return self.queue.queue_url
