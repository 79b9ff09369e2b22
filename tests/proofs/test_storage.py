import base64
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
from botocore.credentials import Credentials

from infra.local.aws import ACCESS_KEY, REGION, SECRET_KEY
from infra.local.ministack import MiniStack
from infra.local.workspace import free_port
from proofs import storage
from proofs.storage import PresignedUpload

NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
LIFE = timedelta(minutes=10)
# The server outlives the object that started it.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
PHOTO = b"as if it were a photo" * 100


def checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def presign(**changes: Any) -> PresignedUpload:
    values: dict[str, Any] = {
        "bucket": "chally-uploads",
        "key": "uploads/0123",
        "content_type": "image/jpeg",
        "content_length": len(PHOTO),
        "sha256_base64": checksum(PHOTO),
        "expires": LIFE,
        "now": NOW,
        "region": "eu-central-1",
        "endpoint_url": None,
        "credentials": Credentials("AKIDEXAMPLE", "secret"),
    }
    return storage.presign_put(**values | changes)


def query(upload: PresignedUpload) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(upload.url).query).items()}


class TestNewKey:
    def test_a_key_is_unguessable_and_has_the_prefix(self) -> None:
        keys = {storage.new_key() for _ in range(1000)}
        assert len(keys) == 1000
        assert all(key.startswith("uploads/") and len(key) >= 8 + 43 for key in keys)

    def test_a_key_needs_no_quoting(self) -> None:
        """S3 events contain URL-encoded keys."""
        assert storage.new_key().replace("/", "").isalnum()


class TestPresignPut:
    def test_length_type_and_checksum_are_signed(self) -> None:
        upload = presign()
        assert query(upload) == {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": "AKIDEXAMPLE/20261120/eu-central-1/s3/aws4_request",
            "X-Amz-Date": "20261120T083000Z",
            "X-Amz-Expires": "600",
            "X-Amz-SignedHeaders": "content-length;content-type;host;if-none-match;x-amz-checksum-sha256",
            "X-Amz-Signature": query(upload)["X-Amz-Signature"],
        }
        assert upload.headers == {
            "content-length": str(len(PHOTO)),
            "content-type": "image/jpeg",
            "if-none-match": "*",
            "x-amz-checksum-sha256": checksum(PHOTO),
        }
        assert upload.expires_at == NOW + LIFE

    def test_s3_is_addressed_by_bucket_host(self) -> None:
        url = urlsplit(presign().url)
        assert (url.scheme, url.netloc) == ("https", "chally-uploads.s3.eu-central-1.amazonaws.com")
        assert url.path == "/uploads/0123"

    @pytest.mark.parametrize("endpoint_url", ["http://127.0.0.1:4566", "http://127.0.0.1:4566/"])
    def test_a_local_aws_is_addressed_by_path(self, endpoint_url: str) -> None:
        url = urlsplit(presign(endpoint_url=endpoint_url).url)
        assert (url.scheme, url.netloc) == ("http", "127.0.0.1:4566")
        assert url.path == "/chally-uploads/uploads/0123"

    def test_the_session_token_of_a_role_is_included(self) -> None:
        upload = presign(credentials=Credentials("AKIDEXAMPLE", "secret", "a/token+of=a role"))
        assert query(upload)["X-Amz-Security-Token"] == "a/token+of=a role"

    @pytest.mark.parametrize("token", [None, "a/token+of=a role"])
    def test_the_signature_equals_botocores(self, token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        from botocore import auth
        from botocore.awsrequest import AWSRequest

        monkeypatch.setattr(auth, "get_current_datetime", lambda: NOW)
        credentials = Credentials("AKIDEXAMPLE", "secret", token)
        upload = presign(credentials=credentials)
        request = AWSRequest("PUT", upload.url.partition("?")[0], headers=dict(upload.headers))
        auth.S3SigV4QueryAuth(credentials, "s3", "eu-central-1", expires=600).add_auth(request)
        assert parse_qs(urlsplit(upload.url).query) == parse_qs(urlsplit(str(request.url)).query)

    @pytest.mark.parametrize(
        "change",
        [
            {"key": "uploads/4567"},
            {"content_type": "image/png"},
            {"content_length": 1},
            {"sha256_base64": checksum(b"")},
            {"now": NOW + timedelta(seconds=1)},
            {"expires": LIFE * 2},
            {"bucket": "another"},
            {"region": "us-east-1"},
        ],
    )
    def test_every_parameter_changes_the_signature(self, change: dict[str, Any]) -> None:
        assert query(presign(**change))["X-Amz-Signature"] != query(presign())["X-Amz-Signature"]

    def test_importing_storage_does_not_import_boto3(self) -> None:
        """The HTTP function imports this module during its cold start."""
        program = "import sys; sys.path[:] = sys.argv[1:]; import proofs.storage; sys.exit('botocore' in sys.modules)"
        subprocess.run([sys.executable, "-c", program, *sys.path], check=True)


@dataclass(frozen=True)
class Bucket:
    """A bucket of a local AWS that checks signatures."""

    client: Any
    endpoint_url: str
    name: str = "chally-uploads"

    def presign(self, **changes: Any) -> PresignedUpload:
        return presign(
            **{
                "key": storage.new_key(),
                "now": datetime.now(UTC),
                "region": REGION,
                "endpoint_url": self.endpoint_url,
                "credentials": Credentials(ACCESS_KEY, SECRET_KEY),
            }
            | changes
        )

    def stored(self) -> list[str]:
        return [item["Key"] for item in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    directory = tmp_path_factory.mktemp("aws")
    server = MiniStack(directory=directory / "server", port=free_port(), log=directory / "log")
    server.start()
    try:
        session = boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=REGION)
        bucket = Bucket(session.client("s3", endpoint_url=server.url), server.url)
        bucket.client.create_bucket(Bucket=bucket.name)
        yield bucket
        bucket.client.close()
    finally:
        server.stop()


@pytest.fixture
def bucket(aws: Bucket) -> Bucket:
    for key in aws.stored():
        aws.client.delete_object(Bucket=aws.name, Key=key)
    return aws


def put(upload: PresignedUpload, data: bytes = PHOTO, *, method: str = "PUT", **headers: str | None) -> httpx.Response:
    """Send the upload with its headers, except for those given; None omits a header."""
    changed = dict(upload.headers) | {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in changed.items() if value is not None}
    return httpx.request(method, upload.url, content=data, headers=sent)


class TestStorageEnforcesWhatWasSigned:
    def test_the_announced_upload_is_accepted(self, bucket: Bucket) -> None:
        upload = bucket.presign()
        assert put(upload).status_code == 200
        (key,) = bucket.stored()
        found = bucket.client.get_object(Bucket=bucket.name, Key=key)
        with found["Body"] as body:
            assert body.read() == PHOTO
        assert found["ContentType"] == "image/jpeg"

    def test_one_url_stores_one_upload(self, bucket: Bucket) -> None:
        upload = bucket.presign()
        assert [put(upload).status_code for _ in range(3)] == [200, 412, 412]
        assert len(bucket.stored()) == 1

    def test_an_upload_that_may_overwrite_is_refused(self, bucket: Bucket) -> None:
        self.refused(bucket, put(bucket.presign(), if_none_match=None))
        self.refused(bucket, put(bucket.presign(), if_none_match='"0123"'))

    def refused(self, bucket: Bucket, response: httpx.Response) -> None:
        assert response.status_code in (400, 403), response.text
        assert bucket.stored() == []

    def test_a_longer_file_is_refused(self, bucket: Bucket) -> None:
        data = PHOTO + b"more"
        self.refused(bucket, put(bucket.presign(), data, content_length=str(len(data))))

    def test_a_shorter_file_is_refused(self, bucket: Bucket) -> None:
        data = PHOTO[:-1]
        self.refused(bucket, put(bucket.presign(), data, content_length=str(len(data))))

    def test_another_content_type_is_refused(self, bucket: Bucket) -> None:
        self.refused(bucket, put(bucket.presign(), content_type="text/html"))

    def test_a_missing_content_type_is_refused(self, bucket: Bucket) -> None:
        self.refused(bucket, put(bucket.presign(), content_type=None))

    def test_other_bytes_are_refused(self, bucket: Bucket) -> None:
        self.refused(bucket, put(bucket.presign(), PHOTO[::-1]))

    def test_other_bytes_with_their_own_checksum_are_refused(self, bucket: Bucket) -> None:
        self.refused(bucket, put(bucket.presign(), PHOTO[::-1], x_amz_checksum_sha256=checksum(PHOTO[::-1])))

    def test_a_missing_checksum_is_refused(self, bucket: Bucket) -> None:
        self.refused(bucket, put(bucket.presign(), x_amz_checksum_sha256=None))

    def test_another_key_is_refused(self, bucket: Bucket) -> None:
        upload = bucket.presign(key="uploads/mine")
        self.refused(bucket, put(replace(upload, url=upload.url.replace("uploads/mine", "uploads/yours"))))

    def test_another_bucket_is_refused(self, bucket: Bucket) -> None:
        bucket.client.create_bucket(Bucket="chally-other")
        upload = bucket.presign()
        moved = put(replace(upload, url=upload.url.replace(f"/{bucket.name}/", "/chally-other/")))
        assert moved.status_code == 403
        assert replace(bucket, name="chally-other").stored() == []

    @pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
    def test_another_method_is_refused(self, bucket: Bucket, method: str) -> None:
        upload = bucket.presign()
        assert put(upload).status_code == 200
        assert put(upload, method=method).status_code == 403
        assert len(bucket.stored()) == 1

    def test_a_tampered_signature_is_refused(self, bucket: Bucket) -> None:
        upload = bucket.presign()
        last = "0" if upload.url[-1] != "0" else "1"
        self.refused(bucket, put(replace(upload, url=upload.url[:-1] + last)))

    def test_a_missing_signature_is_refused(self, bucket: Bucket) -> None:
        upload = bucket.presign()
        self.refused(bucket, put(replace(upload, url=upload.url.partition("?")[0])))

    def test_a_longer_expiry_is_refused(self, bucket: Bucket) -> None:
        upload = bucket.presign()
        self.refused(bucket, put(replace(upload, url=upload.url.replace("X-Amz-Expires=600", "X-Amz-Expires=6000"))))

    def test_an_expired_url_is_refused(self, bucket: Bucket) -> None:
        self.refused(bucket, put(bucket.presign(now=datetime.now(UTC) - LIFE - timedelta(seconds=2))))

    def test_a_signature_with_another_secret_is_refused(self, bucket: Bucket) -> None:
        self.refused(bucket, put(bucket.presign(credentials=Credentials(ACCESS_KEY, "guessed"))))
