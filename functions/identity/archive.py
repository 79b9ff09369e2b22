"""The ZIP of an export: a JSON file for each context, the person's photos, and a README that explains them.

Photos are copied in pieces and the file lies on disk, so that memory stays small however much there is.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any

from chally import aws
from identity.queries.people import Object

PIECE = 1024 * 1024  # bytes
LIMIT = 1_800_000_000  # bytes of photos; the disk of a function has 2 GiB (infra/identity.py)

_README = """What Chally holds on {username}, as of {now:%Y-%m-%d %H:%M} UTC.

identity.json        your account, sessions, second factors, links in mails, exports
core.json            what was done to your account and by you (audit), calls that may be repeated, mails on their way
challenges.json      challenges you made, those you take part in, your windows and standings
proofs.json          what you sent as proofs, the verdicts, and what photos are recognised by
notifications.json   your reminders
photos/              the photos you uploaded, as they came: named by date and by the proof's id

Each file has its rows by table. Instants are in UTC. Left out are secrets, which are of use to a thief alone: hashes
of passwords, tokens and codes, the key of your authenticator app, and the names of files in storage.
"""
_GONE = """
Photos are stored for 30 days. Of {count} older ones, only what proofs.json says is left.
"""
_TOO_MANY = """
These photos did not fit in here. Ask us for them:
"""


def write(
    file: IO[bytes],
    held: Mapping[str, Any],
    photos: Sequence[Object],
    *,
    bucket: str,
    username: str,
    now: datetime,
    limit: int = LIMIT,
) -> None:
    """Write the ZIP to `file`; `limit`: how many bytes of photos there is room for."""
    gone, too_many = 0, []
    with zipfile.ZipFile(file, "w") as archive:
        for context, tables in held.items():
            text = json.dumps(tables, indent=2, ensure_ascii=False)
            archive.writestr(_entry(f"{context}.json", now, zipfile.ZIP_DEFLATED), text)
        for photo in photos:
            with _stored(bucket, photo.key) as stored:
                if stored is None:
                    gone += 1
                elif stored["ContentLength"] > limit:
                    too_many.append(str(photo.name))
                else:
                    limit -= stored["ContentLength"]
                    # pictures are compressed already
                    with archive.open(_entry(str(photo.name), now, zipfile.ZIP_STORED), "w") as entry:
                        for piece in stored["Body"].iter_chunks(PIECE):
                            entry.write(piece)
        text = _README.format(username=username, now=now)
        text += _GONE.format(count=gone) if gone else ""
        text += _TOO_MANY + "".join(f"  {name}\n" for name in too_many) if too_many else ""
        archive.writestr(_entry("README.txt", now, zipfile.ZIP_DEFLATED), text)


def upload(file: IO[bytes], *, bucket: str, key: str) -> None:
    """Put the ZIP into storage, in parts where it is large; storage encrypts it as it does everything."""
    from boto3.s3.transfer import TransferConfig

    file.seek(0)
    one_by_one = TransferConfig(use_threads=False)
    aws.client("s3").upload_fileobj(file, bucket, key, ExtraArgs={"ContentType": "application/zip"}, Config=one_by_one)


@contextmanager
def _stored(bucket: str, key: str) -> Iterator[Any]:
    """An object's answer, to be read within; None when it is there no more."""
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
