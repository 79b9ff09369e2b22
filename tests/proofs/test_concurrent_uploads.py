"""Two environments that handle the same uploads at once write one verdict for each."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from challenges import standings
from chally import db
from tests.support import verdict_process
from tests.support.database import Database
from tests.support.pictures import encoded, picture
from tests.support.proof_uploads import TEXT, Club, batch, created

UPLOADS = 24


@dataclass
class Sent:
    """An upload, oldest version first: whether each is a picture, and its sequencer."""

    proof_id: str
    versions: list[tuple[bool, str]] = field(default_factory=list)


def test_each_upload_is_decided_once(
    make_club: Callable[..., Club], database: Database, mails: Callable[[], list[dict[str, Any]]], tmp_path: Path
) -> None:
    """Both are let go at the same lock, and then walk through the same uploads side by side: each in an order of its
    own where a file was overwritten, with some events twice.
    """
    club = make_club(proof={"kind": "photo", "max_per_window": 10}, anti_cheat={"phash_check": False})
    chance = random.Random(7)
    uploads: list[Sent] = []
    halves: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for number in range(UPLOADS):
        upload = Sent(club.ask((club.kari, club.miro)[number % 2], TEXT))
        uploads.append(upload)
        events = []
        for version in range(chance.choice((1, 1, 2, 3))):
            is_picture, name = chance.random() < 0.5, f"{number}-{version}"
            data = encoded(picture(number, (160, 120)), comment=name) if is_picture else f"no picture {name}".encode()
            (tmp_path / name).write_bytes(data)
            upload.versions.append((is_picture, f"{version + 1:018X}"))
            events.append(created(club.keys[upload.proof_id], sequencer=upload.versions[-1][1], version_id=name))
        for half in halves:
            half += chance.sample(events * 2, len(events) + 1)
            half += events
    verdicts = _in_two_environments(club, database, halves, tmp_path)
    told = Counter(mail["user_id"] for mail in mails() if mail.get("template") == "proof_rejected")
    rejections = Counter(proof_id for proof_id, status in verdicts if status == "rejected")
    assert told.total() == rejections.total()

    for upload in uploads:
        status, sequencer = database.execute(
            "select status, sequencer from proofs.proofs where id = %(id)s", id=upload.proof_id
        )[0]
        assert [each for each in verdicts if each == (upload.proof_id, "accepted")] == (
            [(upload.proof_id, "accepted")] if status in ("accepted", "replaced") else []
        )
        assert rejections[upload.proof_id] <= sum(not is_picture for is_picture, _ in upload.versions)
        if status == "rejected":
            # every version was decided or superseded, and none was a picture
            assert (False, sequencer) == upload.versions[-1]
        else:
            assert (True, sequencer) in upload.versions
        if len(upload.versions) == 1:
            assert len([proof_id for proof_id, _ in verdicts if proof_id == upload.proof_id]) == 1
    with db.as_system("test", read_only=True) as tx:
        checked, _ = standings.check(tx, UUID(int=0), 1_000)
    assert all(each.is_correct for each in checked)
    assert club.accepted(club.kari) == club.accepted(club.miro) == 1


def _in_two_environments(
    club: Club, database: Database, halves: tuple[list[dict[str, Any]], ...], place: Path
) -> list[tuple[str, str]]:
    """The verdicts that either logged: a proof's id, and what became of it. None may have to come again."""
    workers = []
    with psycopg.connect(database.url) as gate:
        gate.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [f"proofs of {club.id}"])
        for number, half in enumerate(halves):
            batches = place / f"batches-{number}"
            batches.write_text(json.dumps([batch(*events) for events in batched(half, 10, strict=False)]))
            arguments = [sys.executable, "-m", verdict_process.__name__, str(batches), str(place)]
            workers.append(
                subprocess.Popen(
                    arguments,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                )
            )
        deadline = datetime.now(UTC) + timedelta(seconds=180)
        waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        while database.execute(waiting) != [(2,)]:
            assert datetime.now(UTC) < deadline
    verdicts = []
    for worker in workers:
        printed, _ = worker.communicate(timeout=300)
        *lines, responses = printed.splitlines()
        assert all(response == {"batchItemFailures": []} for response in json.loads(responses)), printed
        said = [json.loads(line) for line in lines if '"message":"verdict"' in line]
        verdicts += [(line["proof_id"], line["status"]) for line in said]
    return verdicts
