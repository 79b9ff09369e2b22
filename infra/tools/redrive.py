"""Send the dead letters of a work queue again: in the local system, or in a stage in AWS."""

import json
from typing import Any

from infra import names
from infra.tools.invocation import Place, client
from infra.tools.process import ToolError

QUEUES = {"verdicts": "VerdictsQueueUrl", "outbox": "OutboxQueueUrl"}


def redrive(place: Place, queue: str) -> None:
    """Move the dead letters of a queue back to it, and print how many. Raises ToolError if that fails.

    Each is deleted after it was sent, so an interruption may send one twice; every consumer accepts repeats. SQS has
    StartMessageMoveTask for this, but the local AWS does not implement it.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if queue not in QUEUES:
        raise ToolError(f"There is no queue {queue!r}.", f"Queues are {' and '.join(QUEUES)}.")
    stage = place if isinstance(place, str) else "local"
    moved = 0
    try:
        (stack,) = client(place, "cloudformation").describe_stacks(StackName=names.stack(stage))["Stacks"]
        url = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}[QUEUES[queue]]
        sqs = client(place, "sqs")
        policy = json.loads(_attribute(sqs, url, "RedrivePolicy"))
        dead_url = sqs.get_queue_url(QueueName=policy["deadLetterTargetArn"].rsplit(":", 1)[1])["QueueUrl"]
        # a letter that fails again at once comes back here: move no more than there are now
        for _ in range(int(_attribute(sqs, dead_url, "ApproximateNumberOfMessages"))):
            for letter in sqs.receive_message(
                QueueUrl=dead_url, MaxNumberOfMessages=1, WaitTimeSeconds=1, MessageAttributeNames=["All"]
            ).get("Messages", ()):
                attributes = letter.get("MessageAttributes", {})
                sqs.send_message(QueueUrl=url, MessageBody=letter["Body"], MessageAttributes=attributes)
                sqs.delete_message(QueueUrl=dead_url, ReceiptHandle=letter["ReceiptHandle"])
                moved += 1
        in_flight = int(_attribute(sqs, dead_url, "ApproximateNumberOfMessagesNotVisible"))
    except (BotoCoreError, ClientError, KeyError) as error:
        fix = "Deploy the stage first. Required rights: sqs:* on its queues and cloudformation:DescribeStacks."
        raise ToolError(f"Not all dead letters of {queue} in {stage} were sent again: {error}", fix) from error
    finally:
        print(f"Sent {moved} dead letters of {queue} again.")
    if in_flight:
        print(f"{in_flight} more are being read by another process. If that was interrupted, run again in a minute.")


def _attribute(sqs: Any, url: str, name: str) -> str:
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])
