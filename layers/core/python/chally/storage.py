"""The bucket: pre-signed URLs, and deletion of all versions of an object."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from chally import aws

if TYPE_CHECKING:
    from botocore.credentials import Credentials


def presign(
    method: str,
    *,
    bucket: str,
    key: str,
    expires: timedelta,
    now: datetime,
    region: str,
    endpoint_url: str | None,
    credentials: "Credentials",
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> str:
    """A pre-signed URL for one request on one object, valid from `now` for `expires`.

    `headers` and `query` are signed: the client must send them unchanged. `endpoint_url` is that of a local AWS, which
    is addressed by path; None means S3, addressed by the bucket's host name.
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """
    # Imported here because a function's other routes do not need botocore.
    from botocore.auth import S3SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    base = f"{endpoint_url.rstrip('/')}/{bucket}" if endpoint_url else f"https://{bucket}.s3.{region}.amazonaws.com"
    request = AWSRequest(method, f"{base}/{quote(key)}", headers=dict(headers or {}))
    request.context["timestamp"] = now.strftime("%Y%m%dT%H%M%SZ")
    frozen = credentials.get_frozen_credentials()
    signer = S3SigV4QueryAuth(frozen, "s3", region)
    # The signer's `add_auth` does the same, but always with the current time.
    request.params = {
        **(query or {}),
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": signer.scope(request),
        "X-Amz-Date": request.context["timestamp"],
        "X-Amz-Expires": str(int(expires.total_seconds())),
        "X-Amz-SignedHeaders": signer.signed_headers(signer.headers_to_sign(request)),
    }
    if frozen.token:
        request.params["X-Amz-Security-Token"] = frozen.token
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return f"{request.url}?{urlencode({**request.params, 'X-Amz-Signature': signature}, quote_via=quote)}"


def erase(bucket: str, key: str) -> int:
    """Delete every version of an object, or of all objects below a prefix that ends with a slash. Returns how many.

    Safe to repeat.
    """
    if not key.strip("/"):
        raise ValueError("refusing to delete the whole bucket")
    s3 = aws.client("s3")
    erased = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
        for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            if version["Key"] == key or key.endswith("/"):
                s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
                erased += 1
    return erased
