"""Uploads at random: events that come more than once, late, in any order, and of files that were overwritten or deleted
meanwhile. Each comes to the verdict that the model gives it, once, with its standing and its mails.
"""

import heapq
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import combinations, count, groupby
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from challenges import standings
from chally import aws, db
from chally.zones import ZoneInfo
from proofs import fingerprints, images
from proofs.fingerprints import Fingerprint
from proofs.rules.verdict import is_comparable
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.pictures import encoded, picture
from tests.support.proof_uploads import BUCKET, created, decide
from tests.support.upload_model import File, Model, Rules, Upload, Version, standing

UPLOADS = 500
BATCH = 10
DAYS = 7
FIRST = datetime(2026, 11, 2, 12, tzinfo=UTC)
PEOPLE = {
    "ada": "Europe/Oslo",
    "bob": "Asia/Tokyo",
    "cyd": "America/Los_Angeles",
    "dia": "Asia/Kathmandu",
    "eli": "Pacific/Auckland",
    "fay": "UTC",
}
CHALLENGES = (
    Rules(),
    Rules(max_per_window=2, phash_check=False, grace_days=1),
    Rules(max_per_window=3, exif_required=True),
    Rules(max_per_window=10, grace_days=2),
)
PICTURES = range(100, 148)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@cache
def scene(number: int) -> Image.Image:
    return picture(number, (160, 120))


def photo(number: int, **options: Any) -> bytes:
    return encoded(scene(number), **options)


@pytest.fixture(scope="module", autouse=True)
def _pictures_are_told_apart() -> None:
    """The model assumes that copies are certain duplicates, and different pictures are none."""

    def variants(data: bytes) -> tuple[Fingerprint, ...]:
        return fingerprints.dihedral(images.read_photo(data, "image/jpeg", legible=False).luma)

    def bits(one: Fingerprint, other: Fingerprint) -> int:
        return (int(one.bits, 2) ^ int(other.bits, 2)).bit_count()

    seen = [variants(photo(number)) for number in PICTURES]
    assert all(is_comparable(first.quality) for first, *_ in seen)
    assert all(bits(one[0], each) > 60 for one, other in combinations(seen, 2) for each in other)
    for number, (first, *_) in zip(PICTURES, seen, strict=True):
        assert bits(first, variants(photo(number, quality=50))[0]) < 20


@dataclass
class Club:
    """People who take part in every challenge; each owns one."""

    chance: random.Random
    at: Callable[[datetime], None]
    people: dict[str, Client]
    challenges: list[tuple[str, Client, Rules]] = field(default_factory=list)
    model: Model = field(default_factory=Model)
    plain: list[File] = field(default_factory=list)
    """Files without EXIF that can be sent again unchanged."""
    sequence: int = 0

    def ask(self, who: Client, challenge: tuple[str, Client, Rules]) -> Upload:
        challenge_id, owner, rules = challenge
        body = {"content_type": "image/jpeg", "content_length": 7, "sha256": "0" * 64}
        response = who.post(f"/v1/challenges/{challenge_id}/proofs", body)
        assert response.status == 201, response.text
        proof = response.json["proof"]
        upload = Upload(
            proof_id=proof["id"],
            key=urlsplit(response.json["upload"]["url"]).path.lstrip("/"),
            challenge_id=challenge_id,
            rules=rules,
            owner_id=owner.user["id"],
            participant_id=proof["participant_id"],
            user_id=who.user["id"],
            local_date=proof["local_date"],
            opens_at=datetime.fromisoformat(proof["opens_at"]),
            closes_at=datetime.fromisoformat(proof["closes_at"]),
            timezone=PEOPLE[who.user["username"]],
            named=self.chance.random() < 0.85,
        )
        self.model.uploads.append(upload)
        return upload

    def file(self, upload: Upload) -> File:
        """An upload at random: an own picture, a copy, an earlier upload, or a file that is not a picture."""
        luck = self.chance.random()
        if luck < 0.15 and self.plain:
            return self.chance.choice(self.plain)
        if luck < 0.3:
            data = f"no picture {self.chance.random()}".encode() * 20
            return File(photo(PICTURES[0])[:900] if luck < 0.2 else data, None)
        number = self.chance.choice(PICTURES)
        if luck < 0.45:  # the same again, or a better photo of it
            of_the_window = [each.file for each in self.model.uploads if each.place == upload.place and each.file]
            number = next((each.picture for each in of_the_window if each.picture is not None), number)
        options: dict[str, Any] = {"quality": self.chance.randint(50, 95), "comment": str(self.chance.random())}
        if upload.rules.exif_required and luck < 0.9:
            near = luck < 0.55
            return File(photo(number, exif=_taken(upload, near=near), **options), number,
                        "near" if near else "inside")  # fmt: skip
        self.plain.append(File(photo(number, **options), number))
        return self.plain[-1]

    def put(self, upload: Upload, file: File, now: datetime) -> Version:
        stored = aws.client("s3").put_object(Bucket=BUCKET, Key=upload.key, Body=file.data)
        self.sequence += 1
        more = self.chance.choices("0123456789ABCDEF", k=self.chance.choice((0, 1, 4)))
        sequencer = f"{self.sequence:012X}{''.join(more)}"
        upload.content = file
        return Version(upload, file, sequencer, stored["VersionId"], now)

    def delete(self, version: Version) -> None:
        """Permanently, or with a delete marker."""
        upload, s3 = version.upload, aws.client("s3")
        if upload.named and self.chance.random() < 0.8:
            s3.delete_object(Bucket=BUCKET, Key=upload.key, VersionId=version.version_id)
            version.is_gone = True
        else:
            s3.delete_object(Bucket=BUCKET, Key=upload.key)
        upload.content = None

    def deliver(self, versions: list[Version], now: datetime) -> None:
        """Deliver a batch to the function; none of its events may fail."""
        events = [
            created(
                each.upload.key,
                sequencer=each.sequencer,
                version_id=each.version_id if each.upload.named else None,
                time=each.stored_at,
            )
            for each in versions
        ]
        assert decide(*events) == []
        for version in versions:
            self.model.deliver(version, now)

    def run(self) -> datetime:
        """Deliver all events day by day, and late ones some days after the last; return the time of the last."""
        asks = [
            (day, who, where) for day in range(DAYS) for who in PEOPLE for where in self.challenges for _ in range(3)
        ]
        agenda: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        waiting: list[Version] = []
        order = count()

        def plan(when: datetime, action: Callable[[datetime], None]) -> None:
            heapq.heappush(agenda, (when, next(order), action))

        def receive(version: Version, now: datetime) -> None:
            waiting.append(version)
            if len(waiting) == BATCH:
                self.deliver(waiting, now)
                waiting.clear()

        def send(upload: Upload, more: int, now: datetime) -> None:
            version = self.put(upload, self.file(upload), now)
            for _ in range(self.chance.randint(1, 5)):
                plan(now + self.delay(), partial(receive, version))
            if self.chance.random() < 0.2:
                plan(now + self.delay(), lambda _: self.delete(version))
            if more:
                plan(now + self.delay(), partial(send, upload, more - 1))

        chosen = sorted(self.chance.sample(asks, UPLOADS), key=lambda each: each[0])
        for day, asked in groupby(chosen, key=lambda each: each[0]):
            now = FIRST + day * DAY
            self.at(now)
            self.close_overdue(now)
            for _, who, where in asked:
                upload = self.ask(self.people[who], where)
                plan(now + self.delay(), partial(send, upload, self.chance.choice((0, 0, 0, 1, 1, 2))))
            while agenda and agenda[0][0] < now + (DAY if day < DAYS - 1 else 30 * DAY):
                when, _, action = heapq.heappop(agenda)
                self.at(when)
                action(when)
        end = FIRST + 20 * DAY
        self.at(end)
        self.deliver(waiting, end)
        self.close_overdue(end)
        return end

    def delay(self) -> timedelta:
        """Mostly at once or within minutes, sometimes after more than a day."""
        return self.chance.random() * self.chance.choice((3 * SECOND, 3 * SECOND, 3 * SECOND, 10 * MINUTE, 30 * HOUR))

    def close_overdue(self, now: datetime) -> None:
        with db.as_system("test") as tx:
            standings.close_overdue(tx, now, 10_000)


def _taken(upload: Upload, *, near: bool) -> Image.Exif:
    """Taken when the window opens, or an hour before by a camera without a time zone."""
    when = upload.opens_at - HOUR if near else upload.opens_at
    wall = when.astimezone(ZoneInfo(upload.timezone))
    exif = Image.Exif()
    offset = {} if near else {Base.OffsetTimeOriginal: f"{wall:%:z}"}
    exif[IFD.Exif] = {Base.DateTimeOriginal: f"{wall:%Y:%m:%d %H:%M:%S}"} | offset
    return exif


@pytest.fixture
def make_club(person: SignUp, database: Database, at: Callable[[datetime], None]) -> Callable[[int], Club]:
    aws.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def make(seed: int) -> Club:
        club = Club(random.Random(seed), at, {name: person(name, zone) for name, zone in PEOPLE.items()})
        at(FIRST)
        for rules, owner in zip(CHALLENGES, club.people.values(), strict=False):
            body = challenge_body(FIRST)
            body["rules"] |= {
                "proof": {"kind": "photo", "max_per_window": rules.max_per_window},
                "anti_cheat": {"phash_check": rules.phash_check, "exif_required": rules.exif_required},
                "scoring": {"grace_days": rules.grace_days},
            }
            made = owner.post("/v1/challenges", body)
            assert made.status == 201, made.text
            for who in club.people.values():
                if who is not owner:
                    assert who.post(f"/v1/challenges/{made.json['invite_code']}/join").status == 201
            club.challenges.append((made.json["id"], owner, rules))
        return club

    return make


@pytest.mark.long
def test_each_upload_gets_one_verdict(
    make_club: Callable[[int], Club],
    database: Database,
    logs: Callable[[], str],
    mails: Callable[[], list[dict[str, Any]]],
) -> None:
    club = make_club(20261126)
    before = len(mails())
    end = club.run()
    uploads = club.model.uploads
    assert len(uploads) == UPLOADS
    assert min(Counter(upload.status for upload in uploads).values()) >= 10, "all that may become of one is tried"

    kept = {
        row[0]: row[1:] for row in database.execute("select id::text, status, reasons, sequencer from proofs.proofs")
    }
    for upload in uploads:
        status, reasons, sequencer = kept[upload.proof_id]
        assert (status, [reason["code"] for reason in reasons]) == (upload.status, upload.codes), upload
        # also by the definition of a verdict, independently of the model
        assert (status == "awaiting_upload") == (not upload.readable)
        if status == "rejected":
            assert sequencer == max(upload.readable, key=lambda each: each.order).sequencer
        elif upload.readable:
            assert sequencer in {each.sequencer for each in upload.readable}

    lines = (json.loads(line) for line in logs().splitlines() if '"message":"verdict"' in line)
    assert [(line["proof_id"], line["status"]) for line in lines] == club.model.verdicts
    sent = Counter((mail["template"], mail["user_id"]) for mail in mails()[before:])
    assert sent == club.model.mails
    _standings_are_what_the_proofs_make(club, database, end)


def _standings_are_what_the_proofs_make(club: Club, database: Database, end: datetime) -> None:
    """Checked by the nightly job, and by an independent recomputation."""
    with db.as_system("test", read_only=True) as tx:
        checked, _ = standings.check(tx, UUID(int=0), 1_000)
    assert len(checked) == len(PEOPLE) * len(CHALLENGES)
    assert all(each.is_correct for each in checked)

    proved = {upload.place for upload in club.model.uploads if upload.status == "accepted"}
    grace_days = {upload.participant_id: upload.rules.grace_days for upload in club.model.uploads}
    outcomes: dict[str, list[str]] = {}
    windows = "select participant_id::text, local_date::text, closes_at from challenges.windows order by local_date"
    for participant_id, local_date, closes_at in database.execute(windows):
        outcome = "accepted" if (participant_id, local_date) in proved else "missed"
        if closes_at <= end:
            outcomes.setdefault(participant_id, []).append(outcome)
    kept = database.execute(
        "select participant_id::text, points, current_streak, best_streak, accepted, missed from challenges.standings"
    )
    for participant_id, *score in kept:
        assert tuple(score) == standing(outcomes[participant_id], grace_days[participant_id])
