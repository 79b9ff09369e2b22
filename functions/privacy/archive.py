"""The ZIP of an export: a JSON file per context, the user's photos, and a README.

Photos are copied in chunks and the ZIP is written to disk, so memory use does not depend on their size.
"""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any

from chally import aws
from privacy.exports import PersonalData

CHUNK = 1024 * 1024  # bytes
LIMIT = 1_800_000_000  # bytes of photos; the function's disk has 2 GiB (infra/privacy.py)

_README = """The personal data of {username} at Chally, as of {now:%Y-%m-%d %H:%M} UTC.

identity.json        your account, sessions, second factors and links in mails
core.json            the audit log of your account, idempotency keys, and mails that are not sent yet
challenges.json      challenges you created or joined, your windows and standings
proofs.json          your proofs, their verdicts, and the fingerprints of your photos
notifications.json   your reminders
privacy.json         your exports
photos/              the photos you uploaded, unchanged, named by date and id of the proof
pictures/            the same photos as others see them, without metadata

Each JSON file lists rows by table. Times are in UTC. Secrets are left out, because only a thief could use them: hashes
of passwords, tokens and codes, the key of your authenticator app, and the names of files in storage.
"""
_GONE = """
Photos are stored for 30 days. {count} older photos are deleted; proofs.json still describes them.
"""
_TOO_MANY = """
These photos did not fit into this file. Ask us for them:
"""


def write(
    file: IO[bytes],
    data: PersonalData,
    *,
    bucket: str,
    now: datetime,
    limit: int = LIMIT,
) -> None:
    """Write the ZIP to `file`, with at most `limit` bytes of photos."""
    gone, too_many = 0, []
    with zipfile.ZipFile(file, "w") as archive:
        for context, tables in data.contexts.items():
            text = json.dumps(tables, indent=2, ensure_ascii=False)
            archive.writestr(_entry(f"{context}.json", now, zipfile.ZIP_DEFLATED), text)
        for photo in data.photos:
            with _stored(bucket, photo.key) as stored:
                if stored is None:
                    gone += 1
                elif stored["ContentLength"] > limit:
                    too_many.append(str(photo.name))
                else:
                    limit -= stored["ContentLength"]
                    # pictures are compressed already
                    with archive.open(_entry(str(photo.name), now, zipfile.ZIP_STORED), "w") as entry:
                        for chunk in stored["Body"].iter_chunks(CHUNK):
                            entry.write(chunk)
        text = _README.format(username=data.username, now=now)
        text += _GONE.format(count=gone) if gone else ""
        text += _TOO_MANY + "".join(f"  {name}\n" for name in too_many) if too_many else ""
        archive.writestr(_entry("README.txt", now, zipfile.ZIP_DEFLATED), text)


def upload(file: IO[bytes], *, bucket: str, key: str) -> None:
    """Upload the ZIP, in parts if it is large. The bucket encrypts it by default."""
    from boto3.s3.transfer import TransferConfig

    file.seek(0)
    sequential = TransferConfig(use_threads=False)
    aws.client("s3").upload_fileobj(file, bucket, key, ExtraArgs={"ContentType": "application/zip"}, Config=sequential)


@contextmanager
def _stored(bucket: str, key: str) -> Iterator[Any]:
    """Yield the response for an object, or None if it no longer exists."""
    s3 = aws.client("s3")
    try:
        found = s3.get_object(Bucket=bucket, Key=key)
    except s3.exceptions.NoSuchKey:
        yield None
        return
    with found["Body"]:
        yield found


def _entry(name: str, now: datetime, compression: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, now.timetuple()[:6])
    entry.compress_type = compression
    entry.external_attr = 0o644 << 16
    return entry
