"""Deleting objects from the bucket, with all their versions."""

import boto3
import pytest

from chally import storage
from tests.support.personal_data import BUCKET


@pytest.fixture
def versioned(cloud: None) -> None:
    """Makes the bucket versioned, as it is in AWS: deleted and overwritten objects remain as versions."""
    boto3.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


def versions() -> list[str]:
    found = boto3.client("s3").list_object_versions(Bucket=BUCKET)
    return [str(each["Key"]) for each in (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))]


@pytest.mark.usefixtures("versioned")
def test_erasing_removes_all_versions_of_an_object_or_a_prefix() -> None:
    s3 = boto3.client("s3")
    for key in ("exports/1/a", "exports/1/a", "exports/1/b", "exports/11/a", "uploads/1", "uploads/12"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    s3.delete_object(Bucket=BUCKET, Key="exports/1/a")
    assert storage.erase(BUCKET, "exports/1/") == 4
    assert storage.erase(BUCKET, "uploads/1") == 1
    assert storage.erase(BUCKET, "uploads/1") == 0
    assert sorted(versions()) == ["exports/11/a", "uploads/12"]


@pytest.mark.parametrize("key", ["", "/"])
def test_the_whole_bucket_is_never_erased(cloud: None, key: str) -> None:
    with pytest.raises(ValueError, match="whole bucket"):
        storage.erase(BUCKET, key)
