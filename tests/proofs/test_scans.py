"""Verdicts and virus scans: infected uploads are rejected and deleted, unscanned ones wait."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import boto3
import pytest

from challenges import standings
from chally import clock, db, settings
from proofs import malware, storage
from tests.support.clamd import CLAMD, COMMENT, EICAR, Clamd, answering
from tests.support.database import Database
from tests.support.guardduty import scan_result
from tests.support.pictures import encoded
from tests.support.proof_uploads import BUCKET, OTHER_PHOTO, PHOTO, PICTURE, TEXT, Club, codes, decide

INFECTED_PHOTO = encoded(PICTURE, comment=COMMENT)

MakeClub = Callable[..., Club]
Scanner = Callable[..., None]


@pytest.fixture
def scanner(cloud: None, monkeypatch: pytest.MonkeyPatch) -> Scanner:
    """Configures the virus scanner of the verdicts."""

    def configure(name: str, url: str | None = None) -> None:
        monkeypatch.setenv("CHALLY_MALWARE_SCANNER", name)
        if url:
            monkeypatch.setenv("CHALLY_CLAMD_URL", url)
        settings.load.cache_clear()

    return configure


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    if not CLAMD.exists():
        pytest.skip(f"{CLAMD} is not there: apt-get install clamav-daemon")
    with tempfile.TemporaryDirectory() as directory:
        clamd = Clamd(Path(directory))
        yield clamd
        clamd.kill()


def versions(club: Club, proof_id: str) -> list[str]:
    """The versions of a proof's object in storage."""
    listed = boto3.client("s3").list_object_versions(Bucket=BUCKET, Prefix=club.keys[proof_id])
    return [version["VersionId"] for version in listed.get("Versions", [])]


def missed(club: Club, username: str) -> int:
    items = club.owner.get(f"/v1/challenges/{club.id}/standings").json["items"]
    return int(next(item["missed"] for item in items if item["username"] == username))


class TestClamd:
    def test_a_clean_upload_gets_a_verdict(self, make_club: MakeClub, scanner: Scanner, clamd: Clamd) -> None:
        scanner("clamd", clamd.tcp)
        club = make_club()
        assert codes(club.send(club.kari, PHOTO)) == ("accepted", [])
        assert codes(club.send(club.miro, TEXT)) == ("rejected", ["not_an_image"])

    @pytest.mark.parametrize("data", [EICAR, INFECTED_PHOTO], ids=["eicar", "photo"])
    def test_an_infected_upload_is_rejected_and_deleted(
        self,
        make_club: MakeClub,
        scanner: Scanner,
        clamd: Clamd,
        database: Database,
        data: bytes,
        logs: Callable[[], str],
    ) -> None:
        scanner("clamd", clamd.tcp)
        club = make_club()
        proof = club.send(club.kari, data)
        assert codes(proof) == ("rejected", ["malware"])
        assert proof["reasons"][0]["detail"].startswith("The virus scanner found Chally.")
        assert versions(club, proof["id"]) == []
        assert club.accepted(club.kari) == 0
        assert database.execute("select count(*) from proofs.fingerprints") == [(0,)]
        assert '"message":"malware"' in logs()
        assert '"found":"Chally.' in logs()
        # it does not count: the next one is accepted
        assert codes(club.send(club.kari, PHOTO)) == ("accepted", [])

    def test_an_infected_upload_without_a_version_is_deleted(
        self, make_club: MakeClub, scanner: Scanner, clamd: Clamd
    ) -> None:
        """Events of the local AWS have no version."""
        scanner("clamd", clamd.tcp)
        club = make_club()
        proof = club.send(club.kari, INFECTED_PHOTO, version_id=None)
        assert codes(proof) == ("rejected", ["malware"])
        assert versions(club, proof["id"]) == []
        storage.delete_version(BUCKET, club.keys[proof["id"]], None)  # again

    def test_an_upload_waits_while_clamd_is_down(
        self,
        make_club: MakeClub,
        scanner: Scanner,
        clamd: Clamd,
        at: Callable[[datetime], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Past the close of the window: the late verdict replaces the missed outcome."""
        monkeypatch.setattr(malware, "CLAMD_SECONDS", 0.2)
        scanner("clamd", clamd.tcp)
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        event = club.put(proof_id, PHOTO)
        clamd.halt()
        try:
            assert decide(event, event) == [0, 1]
            assert codes(club.proof(proof_id)) == ("processing", [])
            at(datetime.fromisoformat(club.proof(proof_id)["closes_at"]) + timedelta(hours=1))
            with db.as_system("windows that are over") as tx:
                standings.close_overdue(tx, clock.now(), 1000)
            assert (club.accepted(club.kari), missed(club, "kari")) == (0, 1)
            assert decide(event) == [0]
        finally:
            clamd.go_on()
        assert decide(event) == []
        assert codes(club.proof(proof_id)) == ("accepted", [])
        assert (club.accepted(club.kari), missed(club, "kari")) == (1, 0)

    def test_an_upload_waits_while_clamd_sends_nonsense(self, make_club: MakeClub, scanner: Scanner) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        event = club.put(proof_id, PHOTO)
        with answering(b"stream: ERROR\n") as url:
            scanner("clamd", url)
            assert decide(event) == [0]
        assert codes(club.proof(proof_id)) == ("processing", [])

    def test_a_failure_after_the_deletion_does_not_lose_the_verdict(
        self, make_club: MakeClub, scanner: Scanner, clamd: Clamd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("in the middle of it")

        scanner("clamd", clamd.tcp)
        club = make_club()
        proof_id = club.ask(club.kari, EICAR)
        event = club.put(proof_id, EICAR)
        for where in ("proofs.verdicts.storage.delete_version", "proofs.verdicts.arrivals.save_verdict"):
            with monkeypatch.context() as patch:
                patch.setattr(where, fail)
                assert decide(event) == [0]
            assert codes(club.proof(proof_id)) == ("processing", [])
        assert versions(club, proof_id) == []
        assert decide(event) == []
        assert codes(club.proof(proof_id)) == ("rejected", ["malware"])


@dataclass(frozen=True)
class Sent:
    """An undecided upload with the events of S3 and GuardDuty."""

    club: Club
    id: str
    created: dict[str, Any]

    def scanned(self, status: str, created: dict[str, Any] | None = None) -> dict[str, Any]:
        uploaded = (created or self.created)["detail"]["object"]
        return scan_result(status, key=uploaded["key"], version_id=uploaded["version-id"])

    @property
    def verdict(self) -> tuple[str, list[str]]:
        return codes(self.club.proof(self.id))


@pytest.fixture
def sent(make_club: MakeClub, scanner: Scanner) -> Sent:
    scanner("guardduty")
    club = make_club()
    proof_id = club.ask(club.kari, PHOTO)
    return Sent(club, proof_id, club.put(proof_id, PHOTO))


class TestGuardDuty:
    def test_an_upload_waits_for_its_result(self, sent: Sent) -> None:
        assert decide(sent.created, sent.created) == [0, 1]
        assert sent.verdict == ("processing", [])

    def test_a_result_triggers_the_verdict(self, sent: Sent) -> None:
        assert decide(sent.created, sent.scanned("NO_THREATS_FOUND")) == [0]
        assert sent.verdict == ("accepted", [])
        assert decide(sent.created) == []  # S3's event, redelivered, changes nothing
        assert sent.club.accepted(sent.club.kari) == 1

    @pytest.mark.parametrize("status", ["NO_THREATS_FOUND", "THREATS_FOUND"])
    def test_events_in_any_order_and_twice_give_one_verdict(
        self, make_club: MakeClub, scanner: Scanner, status: str
    ) -> None:
        """Every order of two deliveries of both events, for one upload after another."""
        scanner("guardduty")
        expected = ("accepted", []) if status == "NO_THREATS_FOUND" else ("rejected", ["malware"])
        club = make_club(proof={"kind": "photo", "max_per_window": 2})
        for order in sorted(set(permutations("ccss"))):
            proof_id = club.ask(club.kari, OTHER_PHOTO)
            each = Sent(club, proof_id, club.put(proof_id, OTHER_PHOTO))
            for event in order:
                decide(each.created if event == "c" else each.scanned(status))
            assert each.verdict == expected, order
            assert (versions(club, proof_id) == []) == (status == "THREATS_FOUND")
            assert decide(each.created, each.scanned(status)) == []
        assert club.accepted(club.kari) == (1 if status == "NO_THREATS_FOUND" else 0)

    def test_a_result_without_an_upload_decides_nothing(self, sent: Sent) -> None:
        assert decide(sent.scanned("NO_THREATS_FOUND")) == []
        assert sent.verdict == ("awaiting_upload", [])
        assert decide(sent.created) == []
        assert sent.verdict == ("accepted", [])

    def test_a_result_applies_to_its_own_version(self, sent: Sent) -> None:
        newer = sent.club.put(sent.id, PHOTO)
        assert decide(sent.created, newer) == [0, 1]
        assert decide(sent.scanned("THREATS_FOUND")) == []
        assert sent.verdict == ("rejected", ["malware"])
        assert versions(sent.club, sent.id) == [newer["detail"]["object"]["version-id"]]
        assert decide(newer) == [0]
        assert sent.verdict == ("rejected", ["malware"])
        assert decide(sent.scanned("NO_THREATS_FOUND", newer)) == []
        assert sent.verdict == ("accepted", [])

    def test_a_clean_version_does_not_clear_a_newer_one(self, sent: Sent) -> None:
        other = sent.club.put(sent.id, OTHER_PHOTO)
        assert decide(sent.scanned("NO_THREATS_FOUND"), other) == [1]
        assert sent.verdict == ("processing", [])

    def test_a_file_that_is_not_a_picture_is_rejected_without_a_scan(self, sent: Sent) -> None:
        """GuardDuty cannot scan some files, such as encrypted archives: they would become dead letters."""
        bad = sent.club.put(sent.id, TEXT)
        assert decide(bad) == []
        assert sent.verdict == ("rejected", ["not_an_image"])

    def test_a_later_threat_deletes_the_file_but_keeps_the_verdict(self, sent: Sent) -> None:
        """Before the verdict, the threat decides it. Afterwards the verdict stays, because people were ranked by it."""
        assert decide(sent.scanned("NO_THREATS_FOUND"), sent.scanned("THREATS_FOUND"), sent.created) == []
        assert sent.verdict == ("rejected", ["malware"])
        club = sent.club
        proof_id = club.ask(club.miro, OTHER_PHOTO)
        other = Sent(club, proof_id, club.put(proof_id, OTHER_PHOTO))
        assert decide(other.scanned("NO_THREATS_FOUND"), other.created, other.scanned("THREATS_FOUND")) == []
        assert other.verdict == ("accepted", [])
        assert versions(club, proof_id) == []

    def test_a_clean_result_does_not_replace_an_infected_one(self, sent: Sent) -> None:
        assert decide(sent.scanned("THREATS_FOUND"), sent.scanned("NO_THREATS_FOUND"), sent.created) == []
        assert sent.verdict == ("rejected", ["malware"])

    @pytest.mark.parametrize("status", ["UNSUPPORTED", "ACCESS_DENIED", "FAILED"])
    def test_a_failed_scan_waits_for_another_scan(self, sent: Sent, status: str, logs: Callable[[], str]) -> None:
        assert decide(sent.created, sent.scanned(status), sent.created) == [0, 2]
        assert sent.verdict == ("processing", [])
        assert status in logs()
        assert decide(sent.scanned("NO_THREATS_FOUND")) == []
        assert sent.verdict == ("accepted", [])
        assert decide(sent.scanned(status), sent.created) == []

    def test_a_result_without_a_proof_is_ignored(self, sent: Sent) -> None:
        assert decide(scan_result("THREATS_FOUND", key="uploads/of-somebody")) == []

    def test_a_deleted_upload_does_not_wait_for_its_scan(self, sent: Sent) -> None:
        version = sent.created["detail"]["object"]["version-id"]
        boto3.client("s3").delete_object(Bucket=BUCKET, Key=sent.club.keys[sent.id], VersionId=version)
        assert decide(sent.created) == []
        assert sent.verdict == ("awaiting_upload", [])


def test_without_a_scanner_uploads_are_recorded_as_unscanned(make_club: MakeClub, database: Database) -> None:
    club = make_club()
    assert codes(club.send(club.kari, PHOTO)) == ("accepted", [])
    assert database.execute("select sequencer is not null, infected from proofs.scans") == [(True, None)]
