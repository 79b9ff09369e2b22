"""Dead letters of the work queues, sent again once what failed is mended: in the local system, or in a stage in AWS."""

import json
from typing import Any

from infra import names
from infra.local.invocation import Place, client
from infra.local.progress import LocalError

QUEUES = {"verdicts": "VerdictsQueueUrl", "outbox": "OutboxQueueUrl"}


def redrive(place: Place, queue: str) -> None:
    """Move the dead letters of a queue back to it, and print how many. LocalError where that cannot be.

    Each is deleted when it has been sent: an interruption may send one twice, which every event may come. SQS would do
    it by itself (StartMessageMoveTask), but the local AWS has no such call.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    stage = place if isinstance(place, str) else "local"
    moved = 0
    try:
        sqs = client(place, "sqs")
        url = _outputs(client(place, "cloudformation"), stage)[QUEUES[queue]]
        dead_url = _dead_letters(sqs, url)
        # no more than there are now: what fails again at once comes back here
        for _ in range(_number(sqs, dead_url, "ApproximateNumberOfMessages")):
            for letter in sqs.receive_message(
                QueueUrl=dead_url, MaxNumberOfMessages=1, WaitTimeSeconds=1, MessageAttributeNames=["All"]
            ).get("Messages", ()):
                attributes = letter.get("MessageAttributes", {})
                sqs.send_message(QueueUrl=url, MessageBody=letter["Body"], MessageAttributes=attributes)
                sqs.delete_message(QueueUrl=dead_url, ReceiptHandle=letter["ReceiptHandle"])
                moved += 1
        held = _number(sqs, dead_url, "ApproximateNumberOfMessagesNotVisible")
    except (BotoCoreError, ClientError, KeyError) as error:
        fix = "Deploy the stage first; whoever runs this needs sqs:* on its queues and cloudformation:DescribeStacks."
        raise LocalError(f"Not all dead letters of {queue} in {stage} were sent again: {error}", fix) from error
    finally:
        print(f"{moved} dead letters of {queue} were sent again.")
    if held:
        print(f"{held} more were taken by somebody a moment ago. Where that was interrupted, run it again in a minute.")


def _outputs(cloudformation: Any, stage: str) -> dict[str, str]:
    (stack,) = cloudformation.describe_stacks(StackName=names.stack(stage))["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _dead_letters(sqs: Any, url: str) -> str:
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    name = json.loads(policy)["deadLetterTargetArn"].rsplit(":", 1)[1]
    return str(sqs.get_queue_url(QueueName=name)["QueueUrl"])


def _number(sqs: Any, url: str, name: str) -> int:
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])
