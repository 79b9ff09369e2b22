"""The environment variables that functions read during tests."""

PUBLIC_URL = "https://api.test"
UPLOADS_BUCKET = "uploads-test"
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "CHALLY_STAGE": "local",
    "CHALLY_VERSION": "0",
    "CHALLY_COMMIT": "test",
    "CHALLY_PUBLIC_URL": PUBLIC_URL,
    "CHALLY_RELYING_PARTY_ID": "api.test",
    "CHALLY_ORIGINS": '["https://api.test", "https://club.api.test"]',
    "CHALLY_MAIL_FROM": "club@chally.test",
    "CHALLY_UPLOADS_BUCKET": UPLOADS_BUCKET,
    "CHALLY_MALWARE_SCANNER": "none",
    "POWERTOOLS_SERVICE_NAME": "test",
    "POWERTOOLS_METRICS_NAMESPACE": "Chally",
}
