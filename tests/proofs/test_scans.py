"""Verdicts and the virus scanner: what is infected is refused and gone; what nobody has scanned waits."""

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

Clubs = Callable[..., Club]
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


def versions(there: Club, proof_id: str) -> list[str]:
    """The versions of a proof's object that storage still has."""
    listed = boto3.client("s3").list_object_versions(Bucket=BUCKET, Prefix=there.keys[proof_id])
    return [version["VersionId"] for version in listed.get("Versions", [])]


def missed(there: Club, username: str) -> int:
    items = there.owner.get(f"/v1/challenges/{there.id}/standings").json["items"]
    return int(next(item["missed"] for item in items if item["username"] == username))


class TestClamd:
    def test_what_is_clean_is_decided_on(self, club: Clubs, scanner: Scanner, clamd: Clamd) -> None:
        scanner("clamd", clamd.tcp)
        there = club()
        assert codes(there.send(there.kari, PHOTO)) == ("accepted", [])
        assert codes(there.send(there.miro, TEXT)) == ("rejected", ["not_an_image"])

    @pytest.mark.parametrize("data", [EICAR, INFECTED_PHOTO], ids=["eicar", "photo"])
    def test_what_is_infected_is_refused_and_gone(
        self, club: Clubs, scanner: Scanner, clamd: Clamd, database: Database, data: bytes, logs: Callable[[], str]
    ) -> None:
        scanner("clamd", clamd.tcp)
        there = club()
        proof = there.send(there.kari, data)
        assert codes(proof) == ("rejected", ["malware"])
        assert proof["reasons"][0]["detail"].startswith("The virus scanner found Chally.")
        assert versions(there, proof["id"]) == []
        assert there.accepted(there.kari) == 0
        assert database.execute("select count(*) from proofs.fingerprints") == [(0,)]
        assert '"message":"malware"' in logs()
        assert '"found":"Chally.' in logs()
        # and it takes no place: the next one counts
        assert codes(there.send(there.kari, PHOTO)) == ("accepted", [])

    def test_events_that_name_no_version(self, club: Clubs, scanner: Scanner, clamd: Clamd) -> None:
        """As those of the local AWS."""
        scanner("clamd", clamd.tcp)
        there = club()
        proof = there.send(there.kari, INFECTED_PHOTO, version_id=None)
        assert codes(proof) == ("rejected", ["malware"])
        assert versions(there, proof["id"]) == []
        storage.delete_version(BUCKET, there.keys[proof["id"]], None)  # and again

    def test_one_that_is_down_is_waited_for(
        self,
        club: Clubs,
        scanner: Scanner,
        clamd: Clamd,
        at: Callable[[datetime], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Over the end of the window: the verdict that comes at last turns what was missed meanwhile."""
        monkeypatch.setattr(malware, "CLAMD_SECONDS", 0.2)
        scanner("clamd", clamd.tcp)
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        event = there.put(proof_id, PHOTO)
        clamd.halt()
        try:
            assert decide(event, event) == [0, 1]
            assert codes(there.proof(proof_id)) == ("processing", [])
            at(datetime.fromisoformat(there.proof(proof_id)["closes_at"]) + timedelta(hours=1))
            with db.as_system("windows that are over") as tx:
                standings.close_overdue(tx, clock.now(), 1000)
            assert (there.accepted(there.kari), missed(there, "kari")) == (0, 1)
            assert decide(event) == [0]
        finally:
            clamd.go_on()
        assert decide(event) == []
        assert codes(there.proof(proof_id)) == ("accepted", [])
        assert (there.accepted(there.kari), missed(there, "kari")) == (1, 0)

    def test_one_that_speaks_nonsense_lets_nothing_pass(self, club: Clubs, scanner: Scanner) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        event = there.put(proof_id, PHOTO)
        with answering(b"stream: ERROR\n") as url:
            scanner("clamd", url)
            assert decide(event) == [0]
        assert codes(there.proof(proof_id)) == ("processing", [])

    def test_a_failure_after_the_file_has_gone_loses_no_verdict(
        self, club: Clubs, scanner: Scanner, clamd: Clamd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("in the middle of it")

        scanner("clamd", clamd.tcp)
        there = club()
        proof_id = there.ask(there.kari, EICAR)
        event = there.put(proof_id, EICAR)
        for where in ("proofs.verdicts.storage.delete_version", "proofs.verdicts.arrivals.decide"):
            with monkeypatch.context() as patch:
                patch.setattr(where, fail)
                assert decide(event) == [0]
            assert codes(there.proof(proof_id)) == ("processing", [])
        assert versions(there, proof_id) == []
        assert decide(event) == []
        assert codes(there.proof(proof_id)) == ("rejected", ["malware"])


@dataclass(frozen=True)
class Sent:
    """An upload that has not been decided on, with S3's event, and GuardDuty's."""

    there: Club
    id: str
    created: dict[str, Any]

    def scanned(self, status: str, created: dict[str, Any] | None = None) -> dict[str, Any]:
        uploaded = (created or self.created)["detail"]["object"]
        return scan_result(status, key=uploaded["key"], version_id=uploaded["version-id"])

    @property
    def verdict(self) -> tuple[str, list[str]]:
        return codes(self.there.proof(self.id))


@pytest.fixture
def sent(club: Clubs, scanner: Scanner) -> Sent:
    scanner("guardduty")
    there = club()
    proof_id = there.ask(there.kari, PHOTO)
    return Sent(there, proof_id, there.put(proof_id, PHOTO))


class TestGuardDuty:
    def test_without_its_result_an_upload_waits(self, sent: Sent) -> None:
        assert decide(sent.created, sent.created) == [0, 1]
        assert sent.verdict == ("processing", [])

    def test_the_result_decides_at_once(self, sent: Sent) -> None:
        assert decide(sent.created, sent.scanned("NO_THREATS_FOUND")) == [0]
        assert sent.verdict == ("accepted", [])
        assert decide(sent.created) == []  # when S3's event comes again, there is nothing to do
        assert sent.there.accepted(sent.there.kari) == 1

    @pytest.mark.parametrize("status", ["NO_THREATS_FOUND", "THREATS_FOUND"])
    def test_in_any_order_and_twice(self, club: Clubs, scanner: Scanner, status: str) -> None:
        """Every order of two deliveries of each, on one upload after the other."""
        scanner("guardduty")
        expected = ("accepted", []) if status == "NO_THREATS_FOUND" else ("rejected", ["malware"])
        there = club(proof={"kind": "photo", "max_per_window": 2})
        for order in sorted(set(permutations("ccss"))):
            proof_id = there.ask(there.kari, OTHER_PHOTO)
            each = Sent(there, proof_id, there.put(proof_id, OTHER_PHOTO))
            for event in order:
                decide(each.created if event == "c" else each.scanned(status))
            assert each.verdict == expected, order
            assert (versions(there, proof_id) == []) == (status == "THREATS_FOUND")
            assert decide(each.created, each.scanned(status)) == []
        assert there.accepted(there.kari) == (1 if status == "NO_THREATS_FOUND" else 0)

    def test_a_result_alone_decides_nothing(self, sent: Sent) -> None:
        assert decide(sent.scanned("NO_THREATS_FOUND")) == []
        assert sent.verdict == ("awaiting_upload", [])
        assert decide(sent.created) == []
        assert sent.verdict == ("accepted", [])

    def test_a_result_is_about_its_own_version(self, sent: Sent) -> None:
        newer = sent.there.put(sent.id, PHOTO)
        assert decide(sent.created, newer) == [0, 1]
        assert decide(sent.scanned("THREATS_FOUND")) == []
        assert sent.verdict == ("rejected", ["malware"])
        assert versions(sent.there, sent.id) == [newer["detail"]["object"]["version-id"]]
        assert decide(newer) == [0]
        assert sent.verdict == ("rejected", ["malware"])
        assert decide(sent.scanned("NO_THREATS_FOUND", newer)) == []
        assert sent.verdict == ("accepted", [])

    def test_an_older_version_that_was_clean_vouches_for_no_newer_one(self, sent: Sent) -> None:
        other = sent.there.put(sent.id, OTHER_PHOTO)
        assert decide(sent.scanned("NO_THREATS_FOUND"), other) == [1]
        assert sent.verdict == ("processing", [])

    def test_what_is_no_picture_need_not_wait(self, sent: Sent) -> None:
        """GuardDuty has no word for some files, such as archives with a password: they would be dead letters."""
        bad = sent.there.put(sent.id, TEXT)
        assert decide(bad) == []
        assert sent.verdict == ("rejected", ["not_an_image"])

    def test_threats_after_it_was_clean(self, sent: Sent) -> None:
        """Before the verdict they decide it. After it, it stays: people were ranked by it. The file goes either way."""
        assert decide(sent.scanned("NO_THREATS_FOUND"), sent.scanned("THREATS_FOUND"), sent.created) == []
        assert sent.verdict == ("rejected", ["malware"])
        there = sent.there
        proof_id = there.ask(there.miro, OTHER_PHOTO)
        other = Sent(there, proof_id, there.put(proof_id, OTHER_PHOTO))
        assert decide(other.scanned("NO_THREATS_FOUND"), other.created, other.scanned("THREATS_FOUND")) == []
        assert other.verdict == ("accepted", [])
        assert versions(there, proof_id) == []

    def test_once_infected_always(self, sent: Sent) -> None:
        assert decide(sent.scanned("THREATS_FOUND"), sent.scanned("NO_THREATS_FOUND"), sent.created) == []
        assert sent.verdict == ("rejected", ["malware"])

    @pytest.mark.parametrize("status", ["UNSUPPORTED", "ACCESS_DENIED", "FAILED"])
    def test_what_it_could_not_scan_waits_until_it_is_scanned_again(
        self, sent: Sent, status: str, logs: Callable[[], str]
    ) -> None:
        assert decide(sent.created, sent.scanned(status), sent.created) == [0, 2]
        assert sent.verdict == ("processing", [])
        assert status in logs()
        assert decide(sent.scanned("NO_THREATS_FOUND")) == []
        assert sent.verdict == ("accepted", [])
        assert decide(sent.scanned(status), sent.created) == []

    def test_an_object_that_is_no_proofs(self, sent: Sent) -> None:
        assert decide(scan_result("THREATS_FOUND", key="uploads/of-somebody")) == []

    def test_an_upload_that_is_gone_is_not_waited_for(self, sent: Sent) -> None:
        version = sent.created["detail"]["object"]["version-id"]
        boto3.client("s3").delete_object(Bucket=BUCKET, Key=sent.there.keys[sent.id], VersionId=version)
        assert decide(sent.created) == []
        assert sent.verdict == ("awaiting_upload", [])


def test_where_nobody_scans_it_is_said_to_be_unscanned(club: Clubs, database: Database) -> None:
    there = club()
    assert codes(there.send(there.kari, PHOTO)) == ("accepted", [])
    assert database.execute("select sequencer is not null, infected from proofs.scans") == [(True, None)]
