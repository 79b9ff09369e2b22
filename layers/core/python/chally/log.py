"""Structured JSON logs and metrics (EMF) by Powertools, which reads the service's name from the environment.

Every line is redacted, so that no secret or whole mail address is logged: see `chally.redaction`.
"""

import json
import logging
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from chally import redaction


class Formatter(LambdaPowertoolsFormatter):
    """Redacts the lines of Powertools."""

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:  # logging would print the record to stderr unredacted
            line = {"level": record.levelname, "message": "unformattable_record", "location": record.name}
            return json.dumps(line | {"exception_name": type(error).__name__})

    def serialize(self, log: Any) -> str:
        return super().serialize(redaction.redact(log))  # type: ignore[arg-type]


logger = Logger(logger_formatter=Formatter(utc=True, use_rfc3339=True))
metrics = Metrics()
