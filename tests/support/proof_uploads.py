"""A challenge whose people send photos: moto's S3, EventBridge events as SQS delivers them, and the real handler."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from chally import aws, clock
from proofs import jobs
from tests.support.api import Client, LambdaContext
from tests.support.database import Database
from tests.support.pictures import encoded, picture

BUCKET = "uploads-test"
SIZE = (400, 300)
PICTURE = picture(1, SIZE)
PHOTO = encoded(PICTURE)
OTHER_PHOTO = encoded(picture(2, SIZE))
TEXT = b"I did it, I promise.\n" * 20


@dataclass
class Club:
    """A challenge with three people, and its uploads."""

    id: str
    owner: Client
    kari: Client
    miro: Client
    database: Database
    sequence: int = 0
    keys: dict[str, str] = field(default_factory=dict)

    def ask(
        self, who: Client, data: bytes, content_type: str = "image/jpeg", challenge: str | None = None, **more: Any
    ) -> str:
        """Request an upload of `data`; return the proof's id."""
        body = {
            "content_type": content_type,
            "content_length": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            **more,
        }
        answer = who.post(f"/v1/challenges/{challenge or self.id}/proofs", body)
        assert answer.status == 201, answer.text
        proof_id: str = answer.json["proof"]["id"]
        self.keys[proof_id] = urlsplit(answer.json["upload"]["url"]).path.lstrip("/")
        return proof_id

    def put(self, proof_id: str, data: bytes, **event: Any) -> dict[str, Any]:
        """Upload the data; return the event that S3 sends."""
        stored = aws.client("s3").put_object(Bucket=BUCKET, Key=self.keys[proof_id], Body=data)
        self.sequence += 1
        values = {"version_id": stored["VersionId"], "sequencer": f"{self.sequence:018X}"} | event
        return created(self.keys[proof_id], **values)

    def send(self, who: Client, data: bytes, content_type: str = "image/jpeg", **more: Any) -> dict[str, Any]:
        """Request, upload and decide; return the proof afterwards."""
        proof_id = self.ask(who, data, content_type, more.pop("challenge", None))
        assert decide(self.put(proof_id, data, **more)) == []
        return self.proof(proof_id)

    def proof(self, proof_id: str, who: Client | None = None) -> dict[str, Any]:
        answer = (who or self.owner).get(f"/v1/proofs/{proof_id}")
        assert answer.status == 200, answer.text
        proof: dict[str, Any] = answer.json
        return proof

    def accepted(self, who: Client) -> int:
        """The accepted windows of a person in the standings."""
        items = self.owner.get(f"/v1/challenges/{self.id}/standings").json["items"]
        (accepted,) = (item["accepted"] for item in items if item["username"] == who.user["username"])
        return int(accepted)


def created(key: str, *, sequencer: str, version_id: str | None = None, time: datetime | None = None) -> dict[str, Any]:
    """An "Object Created" event (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html)."""
    version = {"version-id": version_id} if version_id else {}
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "000000000000",
        "time": f"{time or clock.now():%Y-%m-%dT%H:%M:%SZ}",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{BUCKET}"],
        "detail": {
            "version": "0",
            "bucket": {"name": BUCKET},
            "object": {"key": key, "size": 1, "etag": "0", "sequencer": sequencer, **version},
            "request-id": "0",
            "requester": "000000000000",
            "reason": "PutObject",
        },
    }


def batch(*events: dict[str, Any] | str) -> dict[str, Any]:
    """A batch of SQS messages with these events. A message's id is its index."""
    return {
        "Records": [
            {
                "messageId": str(place),
                "receiptHandle": "0",
                "body": event if isinstance(event, str) else json.dumps(event),
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "md5OfBody": "0",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:verdicts",
                "awsRegion": "us-east-1",
            }
            for place, event in enumerate(events)
        ]
    }


def decide(*events: dict[str, Any] | str) -> list[int]:
    """Run the function on the events; return the indexes of those that failed."""
    answer = jobs.verdicts_handler(batch(*events), LambdaContext())
    return [int(str(failure["itemIdentifier"])) for failure in answer["batchItemFailures"]]


def codes(proof: dict[str, Any]) -> tuple[str, list[str]]:
    return proof["status"], [reason["code"] for reason in proof["reasons"]]
