"""Photos are read in another process: what one file does there harms nothing else."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from proofs import frames, inspection, sandbox, sandbox_worker
from proofs.sandbox import Limits
from proofs.unreadable import UnreadableImage
from tests.support.hostile_pictures import slow_jpeg
from tests.support.pictures import encoded, picture
from tests.support.proof_uploads import OTHER_PHOTO, PHOTO, Club, codes, decide

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited on Linux only")

JPEG, PNG = "image/jpeg", "image/png"


@pytest.fixture
def own_worker() -> Iterator[None]:
    """A worker for this test alone, if it does not survive."""
    sandbox.stop()
    yield
    sandbox.stop()


def inspect(data: bytes, declared_type: str = JPEG, limits: Limits | None = None) -> inspection.Findings:
    return sandbox.inspect(data, declared_type, strip_exif=True, read_codes=True, limits=limits or Limits())


def refusal(data: bytes, declared_type: str = JPEG, limits: Limits | None = None) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        inspect(data, declared_type, limits)
    return caught.value


def large() -> bytes:
    return encoded(picture(1).resize((6000, 5000)), file_format="PNG", compress_level=1)


class TestInspect:
    @pytest.mark.parametrize("offset", ["+00:00", "-09:30", None])
    def test_the_findings_are_those_of_this_process(self, offset: str | None) -> None:
        exif = Image.Exif()
        exif[IFD.Exif] = {Base.DateTimeOriginal: "2026:11:20 06:45:10"} | (
            {Base.OffsetTimeOriginal: offset} if offset else {}
        )
        for data in (encoded(picture(3, (640, 480)), exif=exif), PHOTO):
            ours = inspection.inspect(data, JPEG, strip_exif=True, read_codes=True)
            theirs = inspect(data)
            assert (theirs.luma == ours.luma).all()
            for name in ("width", "height", "contrast", "variants", "picture", "captured", "codes"):
                assert getattr(theirs, name) == getattr(ours, name)

    def test_a_refusal_keeps_its_code_and_its_sentence(self) -> None:
        refused = refusal(PHOTO, PNG)
        assert refused.code == "type_mismatch"
        assert refused.detail.startswith("This file is image/jpeg, but image/png was announced.")

    def test_a_mistake_of_ours_is_no_refusal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """SQS redelivers the event, and an alarm tells us."""
        monkeypatch.setattr(sandbox, "asdict", lambda limits: asdict(limits) | {"patience": 1})
        with pytest.raises(sandbox.SandboxFailed, match="TypeError"):
            inspect(PHOTO)


class TestLimits:
    def test_a_file_that_takes_too_long_is_damaged(self) -> None:
        refused = refusal(slow_jpeg("RGB"), limits=Limits(processor=0.05))
        assert refused.code == "damaged"
        assert "save it as a new JPEG" in refused.detail

    def test_a_file_that_waits_too_long_is_damaged(self) -> None:
        assert refusal(slow_jpeg("RGB"), limits=Limits(clock=0.05)).code == "damaged"

    def test_a_file_that_takes_too_much_memory_is_damaged(self) -> None:
        assert refusal(large(), PNG, Limits(memory=60_000_000)).code == "damaged"
        assert inspect(large(), PNG).width == 6000

    def test_the_next_photo_is_read_by_the_same_worker(self) -> None:
        inspect(PHOTO)
        worker = sandbox._worker
        refusal(slow_jpeg("RGB"), limits=Limits(processor=0.05))
        assert inspect(PHOTO).width == 400
        assert sandbox._worker is worker


@pytest.mark.usefixtures("own_worker")
class TestWorker:
    def test_a_worker_that_was_killed_is_replaced(self) -> None:
        inspect(PHOTO)
        assert sandbox._worker is not None
        os.kill(sandbox._worker.process.pid, signal.SIGKILL)
        assert inspect(OTHER_PHOTO).width == 400

    def test_a_worker_that_does_not_answer_is_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sandbox, "PATIENCE_SECONDS", 0.05)
        assert refusal(PHOTO).code == "damaged"
        assert sandbox._worker is None

    def test_the_worker_knows_no_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-function")
        monkeypatch.setenv("CHALLY_DATABASE_SYSTEM_URL", "postgres://system:word@host/chally")
        inspect(PHOTO)
        assert sandbox._worker is not None
        environment = Path(f"/proc/{sandbox._worker.process.pid}/environ").read_bytes()
        assert b"PYTHONPATH" in environment
        for secret in (b"of-the-function", b"postgres://", b"AWS_", b"CHALLY_"):
            assert secret not in environment

    def test_the_worker_holds_no_connection_of_this_process(self) -> None:
        inspect(PHOTO)
        assert sandbox._worker is not None
        opened = Path(f"/proc/{sandbox._worker.process.pid}/fd")
        sockets = [link for link in opened.iterdir() if "socket" in os.readlink(link)]
        assert [link.name for link in sockets] == ["0"]


class TestFork:
    """What reads the photo, if the photo took control of it."""

    @pytest.mark.parametrize("act", ["read the credentials", "connect"])
    def test_it_opens_neither_files_nor_connections(self, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
        def misled(data: bytes, **request: object) -> inspection.Findings:
            if act == "connect":
                socket.socket().close()
            else:
                Path(f"/proc/{os.getppid()}/environ").read_bytes()
            return inspection.Findings(1, 1, 0, (), np.zeros((1, 1), np.uint8), b"", None, [])

        monkeypatch.setattr(inspection, "inspect", misled)
        request = {"photo": {}, "limits": asdict(Limits())}
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(sandbox_worker._in_a_fork(request, b""))
            answer, _ = frames.receive(theirs)
        assert "Too many open files" in str(answer["failed"])

    @pytest.mark.usefixtures("own_worker")
    def test_an_answer_in_another_form_is_a_damaged_file_and_the_next_photo_is_read(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(frames, "receive", lambda connection: json.loads("no answer"))
            assert refusal(PHOTO).code == "damaged"
        assert inspect(PHOTO).width == 400


class TestBatch:
    def test_a_file_that_holds_the_reader_does_not_hold_its_batch(
        self, make_club: Callable[..., Club], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        club = make_club()
        hostile = slow_jpeg("RGB")
        asked = [club.ask(club.kari, hostile), club.ask(club.miro, PHOTO)]
        events = [club.put(asked[0], hostile), club.put(asked[1], PHOTO)]
        monkeypatch.setattr(sandbox.inspect, "__kwdefaults__", {"limits": Limits(processor=0.05)})
        assert decide(*events) == []
        assert codes(club.proof(asked[0])) == ("rejected", ["damaged"])
        assert codes(club.proof(asked[1])) == ("accepted", [])
