"""Scan results of GuardDuty Malware Protection for S3."""

from typing import Any


def scan_result(status: str, **changes: Any) -> dict[str, Any]:
    """A scan scan_result as AWS's guide shows it."""
    scanned = {"NO_THREATS_FOUND": "COMPLETED", "THREATS_FOUND": "COMPLETED", "FAILED": "FAILED"}
    return {
        "version": "0",
        "id": "72c7d362-737a-6dce-fc78-9e27a0171419",
        "detail-type": "GuardDuty Malware Protection Object Scan Result",
        "source": "aws.guardduty",
        "account": "111122223333",
        "time": "2026-11-26T01:01:01Z",
        "region": "us-east-1",
        "resources": ["arn:aws:guardduty:us-east-1:111122223333:malware-protection-plan/b4c7f464ab3a4EXAMPLE"],
        "detail": {
            "schemaVersion": "1.0",
            "scanStatus": scanned.get(status, "SKIPPED"),
            "resourceType": "S3_OBJECT",
            "s3ObjectDetails": {
                "bucketName": "uploads-test",
                "objectKey": changes.get("key", "uploads/1"),
                "eTag": "ASIAI44QH8DHBEXAMPLE",
                "versionId": changes.get("version_id", "v1"),
                "s3Throttled": False,
            },
            "scanResultDetails": {
                "scanResultStatus": status,
                "threats": [{"name": "EICAR-Test-File (not a virus)"}] if status == "THREATS_FOUND" else None,
                "statusReasons": changes.get("reasons"),
            },
        },
    }
