"""Uploads: a URL by which a client may put one certain file and nothing else into our bucket, and what it put there."""

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

# A version that was never there or is no more, and one that is the mark of a deletion.
_GONE = {"NoSuchKey", "NoSuchVersion", "MethodNotAllowed"}


@dataclass(frozen=True, slots=True)
class Upload:
    """A PUT that storage will accept until `expires_at`, with exactly these headers and the bytes they describe."""

    url: str
    headers: Mapping[str, str]
    expires_at: datetime


def new_key() -> str:
    """A key for an upload: 256 random bits, so that nobody can guess another's."""
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
) -> Upload:
    """Sign a PUT of `content_length` bytes with this type and SHA-256 from `now` on for as long as `expires`.

    All three are among the signed headers, so storage refuses anything else. `endpoint_url`: see `chally.storage`.
    """
    headers = {
        "content-length": str(content_length),
        "content-type": content_type,
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
    return Upload(url, headers, now + expires)


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
    """A link to a cleaned picture, good from `now` on for as long as `expires`, for whoever has it."""
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


def keep_picture(bucket: str, object_key: str, sequencer: str, jpeg: bytes) -> str:
    """Store the cleaned picture of an upload; answers its key, which nobody can guess who does not know the upload's.

    Of the same version of an upload it is the same object: an event that comes twice writes it twice.
    """
    key = f"{PICTURES}{object_key.removeprefix(PREFIX)}/{sequencer}.jpg"
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=jpeg, ContentType="image/jpeg")
    return key


def delete(bucket: str, key: str, version_id: str | None) -> None:
    """Delete a version of an object for good, whether or not it is still there; by default the newest."""
    s3 = aws.client("s3")
    if version_id is None:  # events of the local AWS name none; without one, S3 would only hide the object
        try:
            version_id = s3.head_object(Bucket=bucket, Key=key)["VersionId"]
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return
            raise
    s3.delete_object(Bucket=bucket, Key=key, VersionId=version_id)


def read(bucket: str, key: str, version_id: str | None, *, max_bytes: int) -> bytes | None:
    """The object's bytes, but no more than one beyond `max_bytes`; None when it has been deleted meanwhile."""
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
