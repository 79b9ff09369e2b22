"""Uploads: a URL by which a client may put one certain file and nothing else into our bucket, and what it put there."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from chally import aws

if TYPE_CHECKING:
    from botocore.credentials import Credentials

PREFIX = "uploads/"

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

    All three are among the signed headers, so storage refuses anything else. `endpoint_url` is that of a local AWS,
    which is addressed by path; null means S3 itself, addressed by the bucket's own host name.
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """
    # Imported here: the other routes of the function need no botocore, and nothing needs a boto3 client.
    from botocore.auth import S3SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    base = f"{endpoint_url.rstrip('/')}/{bucket}" if endpoint_url else f"https://{bucket}.s3.{region}.amazonaws.com"
    headers = {
        "content-length": str(content_length),
        "content-type": content_type,
        "x-amz-checksum-sha256": sha256_base64,
    }
    request = AWSRequest("PUT", f"{base}/{quote(key)}", headers=headers)
    request.context["timestamp"] = now.strftime("%Y%m%dT%H%M%SZ")
    frozen = credentials.get_frozen_credentials()
    signer = S3SigV4QueryAuth(frozen, "s3", region)
    # What the signer's `add_auth` does too, but always with the clock's own time.
    request.params = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": signer.scope(request),
        "X-Amz-Date": request.context["timestamp"],
        "X-Amz-Expires": str(int(expires.total_seconds())),
        "X-Amz-SignedHeaders": signer.signed_headers(signer.headers_to_sign(request)),
    }
    if frozen.token:
        request.params["X-Amz-Security-Token"] = frozen.token
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    query = urlencode({**request.params, "X-Amz-Signature": signature}, quote_via=quote)
    return Upload(f"{request.url}?{query}", headers, now + expires)


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
