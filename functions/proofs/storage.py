"""The uploads bucket: pre-signed URLs for one exact file each, and the objects that were uploaded."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from chally import aws, storage

if TYPE_CHECKING:
    from botocore.credentials import Credentials

PREFIX = "uploads/"
PICTURES = "pictures/"

# S3's errors for an object or a version that does not exist, and for a delete marker.
_GONE = {"NoSuchKey", "NoSuchVersion", "MethodNotAllowed"}


@dataclass(frozen=True, slots=True)
class PresignedUpload:
    """A PUT that S3 accepts once until `expires_at`, with exactly these headers and the bytes they describe."""

    url: str
    headers: Mapping[str, str]
    expires_at: datetime


def new_key() -> str:
    """A new key for an upload: 256 random bits, so that keys cannot be guessed."""
    return PREFIX + secrets.token_hex(32)


def presign_put(
    *,
    bucket: str,
    key: str,
    content_type: str,
    content_length: int,
    sha256_base64: str,
    expires: timedelta,
    now: datetime,
    region: str,
    endpoint_url: str | None,
    credentials: "Credentials",
) -> PresignedUpload:
    """Sign a PUT of `content_length` bytes with this type and SHA-256, valid from `now` for `expires`.

    All three are signed headers, so S3 refuses anything else. `if-none-match` makes it refuse a second upload (412),
    so that one URL stores one object. For `endpoint_url` see `chally.storage`.
    """
    headers = {
        "content-length": str(content_length),
        "content-type": content_type,
        "if-none-match": "*",
        "x-amz-checksum-sha256": sha256_base64,
    }
    url = storage.presign(
        "PUT",
        bucket=bucket,
        key=key,
        expires=expires,
        now=now,
        region=region,
        endpoint_url=endpoint_url,
        credentials=credentials,
        headers=headers,
    )
    return PresignedUpload(url, headers, now + expires)


def presign_get(
    *,
    bucket: str,
    key: str,
    expires: timedelta,
    now: datetime,
    region: str,
    endpoint_url: str | None,
    credentials: "Credentials",
) -> str:
    """A link to a cleaned picture, valid from `now` for `expires`, for anyone who has it."""
    return storage.presign(
        "GET",
        bucket=bucket,
        key=key,
        expires=expires,
        now=now,
        region=region,
        endpoint_url=endpoint_url,
        credentials=credentials,
    )


def save_picture(bucket: str, object_key: str, sequencer: str, jpeg: bytes) -> str:
    """Store the cleaned picture of an upload and return its key, which is as hard to guess as the upload's.

    One version of an upload has one key: a repeated event overwrites the same object.
    """
    key = f"{PICTURES}{object_key.removeprefix(PREFIX)}/{sequencer}.jpg"
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=jpeg, ContentType="image/jpeg")
    return key


def delete_version(bucket: str, key: str, version_id: str | None) -> None:
    """Permanently delete a version of an object, by default the newest. It is no error if there is none."""
    s3 = aws.client("s3")
    if version_id is None:  # events of the local AWS have none; without one, S3 would only add a delete marker
        try:
            version_id = s3.head_object(Bucket=bucket, Key=key)["VersionId"]
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return
            raise
    s3.delete_object(Bucket=bucket, Key=key, VersionId=version_id)


def read_version(bucket: str, key: str, version_id: str | None, *, max_bytes: int) -> bytes | None:
    """Up to `max_bytes` + 1 bytes of the object; None if it has been deleted."""
    s3 = aws.client("s3")
    try:
        if version_id is None:
            found = s3.get_object(Bucket=bucket, Key=key)
        else:
            found = s3.get_object(Bucket=bucket, Key=key, VersionId=version_id)
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return None
        raise
    with found["Body"] as body:
        data: bytes = body.read(max_bytes + 1)
    return data
