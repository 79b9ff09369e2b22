"""A model of hundreds of uploads: which verdict each must get, in whatever order its events arrive.

Each PUT creates a version of an upload. An event of a version counts only while

- its proof is not final (accepted, to be reviewed, or replaced by a newer one of its window),
- no verdict exists on this version or, by sequencer, a newer one,
- the object still exists.

Then its bytes are judged, and the new verdict replaces the one before. The last verdict is therefore that on the newest
version that still existed when an event of it arrived, unless an earlier verdict was final. The model keeps everything
in memory, identifies pictures by name instead of fingerprint, and shares no code with the functions.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

FINAL = ("accepted", "needs_review", "replaced")


@dataclass(frozen=True)
class Rules:
    """Of one challenge: what of it decides."""

    max_per_window: int = 1
    phash_check: bool = True
    exif_required: bool = False
    grace_days: int = 0


@dataclass(frozen=True)
class File:
    """`picture`: which one it shows, None for what is no picture. `taken`: as its EXIF has it, against the window that
    it was made for."""

    data: bytes = field(repr=False)
    picture: int | None
    taken: Literal["inside", "near", None] = None


@dataclass(eq=False)
class Upload:
    """A proof that was asked for. `content`: what its key has now; `named`: its events name the version."""

    proof_id: str
    key: str
    challenge_id: str
    rules: Rules
    owner_id: str
    participant_id: str
    user_id: str
    local_date: str
    opens_at: datetime
    closes_at: datetime
    timezone: str
    named: bool = True
    content: File | None = None
    status: str = "awaiting_upload"
    codes: list[str] = field(default_factory=list)
    decided: "Version | None" = None
    decided_at: datetime | None = None
    file: File | None = None
    readable: "list[Version]" = field(default_factory=list)
    """The versions that still existed when an event of theirs arrived."""

    @property
    def place(self) -> tuple[str, str]:
        return self.participant_id, self.local_date


@dataclass(eq=False)
class Version:
    upload: Upload
    file: File
    sequencer: str
    version_id: str
    stored_at: datetime
    is_gone: bool = False

    @property
    def order(self) -> int:
        """Sequencers are hexadecimal numbers without their trailing zeros."""
        return int(self.sequencer.ljust(64, "0"), 16)

    @property
    def found(self) -> File | None:
        """What storage returns for this version."""
        if not self.upload.named:
            return self.upload.content
        return None if self.is_gone else self.file


@dataclass
class Model:
    """All uploads, the verdicts in order, and the mails by template and recipient."""

    uploads: list[Upload] = field(default_factory=list)
    verdicts: list[tuple[str, str]] = field(default_factory=list)
    mails: Counter[tuple[str, str]] = field(default_factory=Counter)

    def deliver(self, version: Version, now: datetime) -> None:
        """Handle an event of this version."""
        upload, file = version.upload, version.found
        if file is not None:
            upload.readable.append(version)
        stands = upload.decided is not None and upload.decided.order >= version.order
        if file is None or stands or upload.status in FINAL:
            return
        upload.status, upload.codes = self._judge(version, file)
        upload.decided, upload.decided_at, upload.file = version, now, file
        if upload.status == "accepted":
            self._replace(upload)
        self.verdicts.append((upload.proof_id, upload.status))
        if upload.status == "rejected":
            self.mails["proof_rejected", upload.user_id] += 1
        elif upload.status == "needs_review" and upload.owner_id != upload.user_id:
            self.mails["review_wanted", upload.owner_id] += 1

    def _judge(self, version: Version, file: File) -> tuple[str, list[str]]:
        upload = version.upload
        codes = ["outside_window"] if version.stored_at > upload.closes_at + timedelta(minutes=10) else []
        if file.picture is None:
            return "rejected", [*codes, "not_an_image"]
        unsure = []
        if upload.rules.exif_required and file.taken is None:
            codes.append("exif_missing")
        elif upload.rules.exif_required and file.taken == "near":
            unsure.append("exif_time_mismatch")
        if any(self._is_copy(file, upload, other) for other in self.uploads):
            codes.append("duplicate_image")
        if codes:
            return "rejected", codes
        return ("needs_review", unsure) if unsure else ("accepted", [])

    @staticmethod
    def _is_copy(file: File, upload: Upload, other: Upload) -> bool:
        if other.file is None or other.status not in FINAL or other.place == upload.place:
            return False
        near = other.challenge_id == upload.challenge_id or other.user_id == upload.user_id
        return upload.rules.phash_check and (
            other.file.data == file.data or (near and other.file.picture == file.picture)
        )

    def _replace(self, upload: Upload) -> None:
        assert upload.file is not None
        others = [
            each for each in self.uploads
            if each is not upload and each.place == upload.place and each.status == "accepted"
        ]  # fmt: skip
        for other in list(others):
            assert other.file is not None
            alike = upload.rules.phash_check and other.file.picture == upload.file.picture
            if alike or other.file.data == upload.file.data:
                other.status = "replaced"
                others.remove(other)
        others.sort(key=lambda each: (each.decided_at, each.proof_id), reverse=True)
        for other in others[upload.rules.max_per_window - 1 :]:
            other.status = "replaced"


def standing(outcomes: list[str], grace_days: int) -> tuple[int, int, int, int, int]:
    """Points, streak, best streak, accepted, missed, by a count of each run of days: ten points a day, and one more for
    each day of the run before it."""
    points = streak = best = 0
    grace = grace_days
    for outcome in outcomes:
        if outcome == "accepted":
            points += 10 + streak
            streak += 1
            best = max(best, streak)
        elif streak and grace:
            grace -= 1
        else:
            streak = 0
    return points, streak, best, outcomes.count("accepted"), outcomes.count("missed")
