"""Structured JSON logs and metrics (EMF), from Powertools, which reads the service's name from the environment.

No line holds a secret or a whole mail address, whatever somebody logs: see `chally.redaction`.
"""

import json
import logging
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from chally import redaction


class Formatter(LambdaPowertoolsFormatter):
    """Powertools' lines, redacted."""

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:  # logging would print the record to stderr, as it is
            line = {"level": record.levelname, "message": "a line that could not be written", "location": record.name}
            return json.dumps(line | {"exception_name": type(error).__name__})

    def serialize(self, log: Any) -> str:
        return super().serialize(redaction.redact(log))  # type: ignore[arg-type]


logger = Logger(logger_formatter=Formatter(utc=True, use_rfc3339=True))
metrics = Metrics()
