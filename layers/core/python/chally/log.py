"""Structured JSON logs and metrics (EMF), from Powertools, which reads the service's name from the environment."""

from aws_lambda_powertools import Logger, Metrics

logger = Logger(utc=True, use_rfc3339=True)
metrics = Metrics()
