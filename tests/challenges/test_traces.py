"""After leaving: proofs are still recognised as duplicates, and reminders are not sent."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from challenges.jobs import windows_handler
from chally import clock, db
from notifications.jobs import reminders_handler
from proofs.queries import duplicates
from proofs.queries.arrivals import Arrival
from tests.support.api import Client, LambdaContext
from tests.support.database import Database

Reader = Callable[[], list[dict[str, Any]]]


class TestProofs:
    def test_proofs_of_a_participant_who_left_are_still_recognised(
        self, member: Client, path: str, challenge: dict[str, Any], database: Database
    ) -> None:
        """Nobody else can use their photo, neither while they are away nor after they rejoin."""
        sha256 = hashlib.sha256(b"a photo").digest()
        database.execute(
            "with proof as (insert into proofs.proofs (challenge_id, participant_id, user_id, local_date, opens_at,"
            " closes_at, status, content_type, content_length, sha256, object_key, created_at)"
            " select challenge_id, id, user_id, now(), now(), now(), 'accepted', 'image/jpeg', 7, %(sha256)s, 'k',"
            " now() from challenges.participants where user_id = %(user)s returning id, challenge_id, user_id)"
            " insert into proofs.fingerprints (proof_id, challenge_id, user_id, sha256, pdq, quality, comparable)"
            " select id, challenge_id, user_id, %(sha256)s, repeat('0', 256)::bit(256), 100, true from proof",
            sha256=sha256,
            user=member.user["id"],
        )
        member.post(f"{path}/leave")
        now = clock.now()
        arrival = Arrival(
            id=uuid4(), challenge_id=UUID(challenge["id"]), title="t", owner_id=uuid4(), participant_id=uuid4(),
            user_id=uuid4(), local_date=now.date(), opens_at=now, closes_at=now, timezone="UTC",
            account_timezone="UTC", content_type="image/jpeg", rules={},
        )  # fmt: skip
        with db.as_system("tests") as tx:
            found = [duplicates.find_nearest(tx, arrival, *asked) for asked in ((sha256, []), (b"", ["0" * 256]))]
        assert [match and match.kind for match in found] == ["file", "picture"]


class TestReminders:
    def reminded(self, at: Callable[[datetime], None], mails: Reader, who: Client) -> bool:
        """Return whether a mail reminds them of windows in the next two days."""
        before = len([mail for mail in mails() if mail.get("user_id") == who.user["id"]])
        now = clock.now()
        for hours in range(1, 49):
            at(now + timedelta(hours=hours))
            reminders_handler({}, LambdaContext())
        return len([mail for mail in mails() if mail.get("user_id") == who.user["id"]]) > before

    def test_a_participant_who_left_gets_no_reminders(
        self, member: Client, path: str, at: Callable[[datetime], None], mails: Reader, database: Database
    ) -> None:
        member.post(f"{path}/leave")
        waiting = database.execute(
            "select count(*) from notifications.reminders where user_id = %(user)s and sent_at is null"
            " and cleared_at is null",
            user=member.user["id"],
        )
        assert waiting == [(0,)]
        at(clock.now() + timedelta(minutes=15))
        windows_handler({}, LambdaContext())  # it still stores their windows
        assert not self.reminded(at, mails, member)

    def test_a_participant_who_rejoined_gets_reminders_again(
        self, member: Client, path: str, by_code: str, at: Callable[[datetime], None], mails: Reader
    ) -> None:
        member.post(f"{path}/leave")
        member.post(by_code)
        assert self.reminded(at, mails, member)

    def test_a_rejoined_participant_gets_no_reminder_of_a_proved_window(
        self, member: Client, path: str, by_code: str, database: Database
    ) -> None:
        database.execute("update notifications.reminders set cleared_at = now() - interval '1 minute'")
        member.post(f"{path}/leave")
        member.post(by_code)
        assert database.execute("select count(*) from notifications.reminders where cleared_at is null") == [(0,)]
