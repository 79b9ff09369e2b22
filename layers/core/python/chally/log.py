"""Structured JSON logs and metrics (EMF), from Powertools. The service's name and namespace come from its environment."""

from aws_lambda_powertools import Logger, Metrics

logger = Logger(utc=True, use_rfc3339=True)
metrics = Metrics()
