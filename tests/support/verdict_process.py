"""An environment of the verdict function in a process of its own.

Run it as `python -m tests.support.verdict_process BATCHES OBJECTS`.

BATCHES is a file of events, handled in order. Storage is the directory OBJECTS with one file per object version, named
by its id. The last line printed is a list of the results.
"""

import json
import sys
from pathlib import Path
from unittest.mock import patch

import boto3
from moto import mock_aws

from proofs import jobs, storage
from tests.support.api import LambdaContext


def main(batches: Path, objects: Path) -> None:
    def read(_bucket: str, _key: str, version_id: str | None, *, max_bytes: int) -> bytes | None:
        file = objects / str(version_id)
        return file.read_bytes()[: max_bytes + 1] if file.exists() else None

    def save_picture(_bucket: str, object_key: str, sequencer: str, _jpeg: bytes) -> str:
        return f"pictures/{object_key}-{sequencer}.jpg"

    with mock_aws(), patch.multiple(storage, read_version=read, save_picture=save_picture):
        boto3.client("sqs").create_queue(QueueName="outbox")
        answers = [jobs.verdicts_handler(batch, LambdaContext()) for batch in json.loads(batches.read_text())]
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
