"""Deleting an account: signed out and hidden at once, restored by signing in, purged without a trace after 30 days."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import boto3
import pytest

from challenges.jobs import windows_handler
from chally import clock, db, storage
from identity import sessions
from identity import sign_in as signing_in
from identity.jobs import nightly_handler
from identity.keyring import Keyring
from identity.queries import users
from privacy import deletion
from privacy.jobs import purge_handler
from tests.support.api import Client, LambdaContext
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.personal_data import BUCKET, everything, leave_traces

At = Callable[[datetime], None]
Mails = Callable[[], list[dict[str, Any]]]
PASSWORD = {"password": "long enough for us"}
LATER = timedelta(days=30, minutes=1)


@pytest.fixture
def kari(person: SignUp) -> Client:
    return person("kari")


@pytest.fixture
def versioned(cloud: None) -> None:
    """Makes the bucket versioned, as it is in AWS: deleted and overwritten objects remain as versions."""
    boto3.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


def sign_in(nobody: Client) -> Client:
    response = nobody.post("/v1/auth/login", {"login": "kari", **PASSWORD})
    assert response.status == 200, response.text
    return Client(response.json["access_token"], response.json["user"])


def roster(who: Client, challenge: dict[str, Any]) -> list[str]:
    items = who.get(f"/v1/challenges/{challenge['id']}/participants").json["items"]
    return [each["username"] for each in items]


def hidden(client: Client) -> str:
    return f"deleted_{client.user['id'][-12:]}"


def actions(database: Database) -> list[str]:
    return [action for (action,) in database.execute("select action from core.audit order by id")]


def purge() -> dict[str, int]:
    return dict(purge_handler({}, LambdaContext()))


def versions() -> list[str]:
    found = boto3.client("s3").list_object_versions(Bucket=BUCKET)
    return [str(each["Key"]) for each in (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))]


class TestAsking:
    def test_deleting_signs_out_everywhere_at_once(self, kari: Client, nobody: Client, database: Database) -> None:
        login = nobody.post("/v1/auth/login", {"login": "kari", **PASSWORD}).json
        phone = Client(login["access_token"])
        response = kari.delete("/v1/me", PASSWORD)
        assert response.status == 202
        assert response.json == {"purged_on": f"{clock.now() + timedelta(days=30):%Y-%m-%d}"}
        for client in (kari, phone):
            assert client.get("/v1/me").code == "session_ended"
        assert nobody.post("/v1/auth/refresh", {"refresh_token": login["refresh_token"]}).code == "session_ended"
        assert database.execute("select distinct ended_reason from identity.sessions") == [("account_deleted",)]
        assert kari.delete("/v1/me", PASSWORD).code == "session_ended"

    def test_deleting_hides_the_user_and_keeps_the_standing(self, person: SignUp, database: Database) -> None:
        traces, liv = leave_traces(person, database), person("liv")
        liv.post(f"/v1/challenges/{traces.challenge['invite_code']}/join")
        assert roster(liv, traces.challenge) == ["kari", "liv"]
        traces.client.delete("/v1/me", PASSWORD)
        assert roster(liv, traces.challenge) == [hidden(traces.client), "liv"]
        for path in ("standings", "proofs"):
            text = liv.get(f"/v1/challenges/{traces.challenge['id']}/{path}").text
            assert hidden(traces.client) in text
            assert '"kari"' not in text
        challenge = liv.get(f"/v1/challenges/{traces.challenge['id']}").json
        assert (challenge["owner"]["username"], challenge["participant_count"]) == (hidden(traces.client), 2)

    def test_deleting_sends_one_mail_and_no_other_follows(
        self, kari: Client, mails: Mails, database: Database, at: At
    ) -> None:
        now = clock.now()
        at(now)
        kari.delete("/v1/me", PASSWORD)
        assert mails()[-1] == {
            "template": "deletion_requested",
            "to": "kari@people.test",
            "timezone": "Europe/Berlin",
            "values": {"username": "kari", "purged_at": (now + timedelta(days=30)).isoformat()},
        }
        assert database.execute("select * from identity.contacts") == []

    def test_deleting_removes_the_cookies(self, kari: Client) -> None:
        browser = Client(headers={"x-session-transport": "cookie"})
        browser.post("/v1/auth/login", {"login": "kari", **PASSWORD})
        assert browser.delete("/v1/me", PASSWORD).code == "csrf_failed"
        browser.headers = {"x-csrf-token": browser.cookies["__Host-csrf"]}
        assert browser.delete("/v1/me", PASSWORD).status == 202
        assert browser.cookies == {}

    def test_deleting_invalidates_links_and_pending_sign_ins(
        self, kari: Client, nobody: Client, database: Database
    ) -> None:
        nobody.post("/v1/auth/magic-link", {"email": "kari@people.test"})
        database.execute(
            "insert into identity.pending_sign_ins values ('token', %(id)s, now() + interval '1 hour')",
            id=kari.user["id"],
        )
        kari.delete("/v1/me", PASSWORD)
        assert database.execute("select * from identity.mail_links where user_id is not null") == []
        assert database.execute("select * from identity.pending_sign_ins") == []


class TestProof:
    """Who may delete an account, and what they must prove."""

    def test_anonymous_callers_and_other_users_cannot_delete_an_account(
        self, kari: Client, nobody: Client, person: SignUp
    ) -> None:
        assert nobody.delete("/v1/me", PASSWORD).code == "unauthenticated"
        assert person("liv").delete("/v1/me", PASSWORD).status == 202
        assert kari.get("/v1/me").status == 200

    def test_a_wrong_password_is_refused_and_audited(self, kari: Client, database: Database) -> None:
        assert kari.delete("/v1/me", {"password": "not the password"}).code == "invalid_credentials"
        assert kari.get("/v1/me").status == 200
        assert actions(database)[-1] == "password_check_failed"

    def test_guessing_the_password_is_rate_limited(self, kari: Client, at: At) -> None:
        at(clock.now())
        codes = [kari.delete("/v1/me", {"password": f"guess {n}"}).code for n in range(6)]
        assert codes == ["invalid_credentials"] * 5 + ["rate_limited"]
        assert kari.delete("/v1/me", PASSWORD).code == "rate_limited"

    def test_without_a_password_the_sign_in_must_be_fresh(self, kari: Client, at: At) -> None:
        now = clock.now()
        at(now + timedelta(minutes=10, seconds=1))
        for body in (None, {}, {"password": None}):
            assert kari.delete("/v1/me", body).code == "step_up_required"
        at(now + timedelta(minutes=9))
        assert kari.delete("/v1/me").status == 202

    @pytest.mark.parametrize(
        ("second_factor", "minutes", "code"),
        [(False, 0, "step_up_required"), (True, 11, "step_up_required"), (True, 9, None)],
    )
    def test_with_an_app_a_fresh_second_factor_is_required(
        self, kari: Client, database: Database, at: At, second_factor: bool, minutes: int, code: str | None
    ) -> None:
        database.execute(
            "insert into identity.totp (user_id, sealed_secret, created_at, confirmed_at)"
            " values (%(id)s, '', now(), now())",
            id=kari.user["id"],
        )
        database.execute("update identity.sessions set second_factor = %(is)s", **{"is": second_factor})
        at(clock.now() + timedelta(minutes=minutes))
        response = kari.delete("/v1/me", PASSWORD)
        assert response.status == 202 if code is None else response.code == code

    def test_unknown_fields_are_refused(self, kari: Client) -> None:
        assert kari.delete("/v1/me", {"passwort": "x"}).status == 422
        assert kari.get("/v1/me").status == 200


class TestComingBack:
    def test_signing_in_restores_the_account(
        self, person: SignUp, nobody: Client, database: Database, mails: Mails, at: At
    ) -> None:
        traces, liv = leave_traces(person, database), person("liv")
        liv.post(f"/v1/challenges/{traces.challenge['invite_code']}/join")
        traces.client.delete("/v1/me", PASSWORD)
        now = clock.now()
        at(now + timedelta(days=29))
        back = sign_in(nobody)
        assert back.user["username"] == "kari"
        assert roster(liv, traces.challenge) == ["kari", "liv"]
        assert mails()[-1] == {"template": "deletion_cancelled", "user_id": back.user["id"], "values": {}}
        assert traces.client.get("/v1/me").code == "session_ended"  # ended sessions stay ended
        assert actions(database)[-2:] == ["deletion_cancelled", "signed_in"]
        at(now + timedelta(days=61))
        assert purge()["purged"] == 0
        assert roster(liv, traces.challenge) == ["kari", "liv"]

    def test_the_username_and_the_address_stay_reserved(self, kari: Client, nobody: Client) -> None:
        kari.delete("/v1/me", PASSWORD)
        body = {"email": "new@people.test", "username": "kari", "timezone": "UTC", **PASSWORD}
        assert nobody.post("/v1/auth/register", body).code == "username_taken"

    def test_an_account_restored_at_the_last_moment_is_not_purged(
        self, kari: Client, nobody: Client, at: At, database: Database
    ) -> None:
        kari.delete("/v1/me", PASSWORD)
        at(clock.now() + LATER)
        sign_in(nobody)
        with db.as_system("the job, which had found them before") as tx:
            assert deletion.purge(tx, kari.user["id"], clock.now()) is False
        assert database.execute("select username from identity.profiles") == [("kari",)]

    def test_an_account_that_is_being_purged_gets_no_session(
        self, kari: Client, nobody: Client, database: Database
    ) -> None:
        kari.delete("/v1/me", PASSWORD)
        database.execute("update identity.users set purged_at = now()")
        assert nobody.post("/v1/auth/login", {"login": "kari", **PASSWORD}).code == "invalid_credentials"
        assert database.execute("select count(*) from identity.sessions where ended_at is null") == [(0,)]


class TestPurge:
    @pytest.mark.usefixtures("versioned")
    def test_a_purge_leaves_nothing_that_identifies_the_user(
        self, person: SignUp, nobody: Client, database: Database, at: At
    ) -> None:
        traces, liv = leave_traces(person, database), person("liv")
        liv.post(f"/v1/challenges/{traces.challenge['invite_code']}/join")
        before = liv.get(f"/v1/challenges/{traces.challenge['id']}/standings").json
        traces.client.delete("/v1/me", PASSWORD)
        # a plain delete leaves a version and a delete marker behind; a ZIP of an export may remain as well
        boto3.client("s3").delete_object(Bucket=BUCKET, Key=traces.object_key)
        ((export_id,),) = database.execute("select id::text from privacy.exports")
        boto3.client("s3").put_object(Bucket=BUCKET, Key=f"exports/{export_id}/1.zip", Body=b"zip")
        boto3.client("s3").put_object(Bucket=BUCKET, Key="uploads/of-liv", Body=b"photo")
        at(clock.now() + LATER)
        assert purge()["purged"] == 1
        nightly_handler({}, LambdaContext())  # rate limits hold hashes of addresses until they are full again
        assert versions() == ["uploads/of-liv"]
        rows = everything(database)
        for table, texts in rows.items():
            for personal in traces.personal:
                assert [text for text in texts if personal in text] == [], (table, personal)
        assert roster(liv, traces.challenge) == [hidden(traces.client), "liv"]
        after = liv.get(f"/v1/challenges/{traces.challenge['id']}/standings").json
        for row in before["items"]:
            row["username"] = {"kari": hidden(traces.client)}.get(row["username"], row["username"])
        assert after == before
        assert database.execute("select count(*) from proofs.proofs") == [(1,)]
        assert purge()["purged"] == 0

    def test_a_purged_participant_gets_windows_but_no_reminders(self, kari: Client, database: Database, at: At) -> None:
        ends_at = (clock.now() + timedelta(days=60)).isoformat()
        assert kari.post("/v1/challenges", challenge_body(clock.now(), ends_at=ends_at)).status == 201
        assert kari.delete("/v1/me", PASSWORD).status == 202
        at(clock.now() + LATER)
        assert purge()["purged"] == 1
        windows_handler({}, LambdaContext())
        assert database.execute("select count(*) > 0 from challenges.windows where opens_at > now() + '29 days'") == [
            (True,)
        ]
        assert database.execute("select count(*) from notifications.reminders") == [(0,)]

    def test_a_purge_erases_a_link_that_was_requested_meanwhile(
        self, kari: Client, nobody: Client, database: Database, at: At
    ) -> None:
        """Requesting one is how to restore an account; so it may be minutes old, and holds the address."""
        kari.delete("/v1/me", PASSWORD)
        at(clock.now() + LATER - timedelta(minutes=2))
        assert nobody.post("/v1/auth/magic-link", {"email": "kari@people.test"}).status == 202
        at(clock.now() + timedelta(minutes=2))
        assert purge()["purged"] == 1
        assert database.execute("select * from identity.mail_links") == []

    def test_a_purged_account_cannot_sign_in_and_its_name_is_free(
        self, kari: Client, nobody: Client, person: SignUp, at: At, mails: Mails
    ) -> None:
        kari.delete("/v1/me", PASSWORD)
        at(clock.now() + LATER)
        purge()
        for login in (hidden(kari), f"{kari.user['id']}@deleted.invalid", "kari", "kari@people.test"):
            for password in ("!", PASSWORD["password"]):
                refused = nobody.post("/v1/auth/login", {"login": login, "password": password})
                assert refused.code == "invalid_credentials"
        assert kari.get("/v1/me").code == "session_ended"
        again = person("kari")
        assert again.user["id"] != kari.user["id"]

    def test_an_account_is_not_purged_before_30_days_have_passed(self, kari: Client, nobody: Client, at: At) -> None:
        now = clock.now()
        at(now)
        kari.delete("/v1/me", PASSWORD)
        at(now + timedelta(days=30) - timedelta(seconds=1))
        assert purge()["purged"] == 0
        at(now + timedelta(days=30))
        assert purge()["purged"] == 1

    def test_an_account_that_cannot_be_purged_is_retried_and_does_not_block_others(
        self, person: SignUp, database: Database, at: At, monkeypatch: pytest.MonkeyPatch, logs: Callable[[], str]
    ) -> None:
        traces, liv = leave_traces(person, database), person("liv")
        for client in (traces.client, liv):
            client.delete("/v1/me", PASSWORD)
        at(clock.now() + LATER)

        def refuse(bucket: str, key: str) -> int:
            raise TimeoutError

        with monkeypatch.context() as broken:
            broken.setattr(storage, "erase", refuse)
            with pytest.raises(RuntimeError, match="1 parts"):
                purge()
        forgotten = database.execute("select username from identity.users where purged_at is not null")
        assert forgotten == [(hidden(liv),)]
        assert "kari" not in logs()
        assert purge()["purged"] == 1

    @pytest.mark.usefixtures("versioned")
    def test_a_purge_that_was_cut_off_after_storage_is_completed(
        self, person: SignUp, database: Database, at: At, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        traces = leave_traces(person, database)
        traces.client.delete("/v1/me", PASSWORD)
        at(clock.now() + LATER)

        def cut_off(*args: object) -> bool:
            raise TimeoutError

        with monkeypatch.context() as broken:
            broken.setattr(deletion, "purge", cut_off)
            with pytest.raises(RuntimeError):
                purge()
        assert versions() == []
        assert database.execute("select count(*) from identity.users where purged_at is null") == [(1,)]
        assert purge()["purged"] == 1


def test_a_sign_in_that_races_with_a_deletion_restores_the_account(
    person: SignUp, database: Database, keyring: Keyring
) -> None:
    """It had read the account before. A session that is dead from the start would help nobody."""
    kari = person("kari")
    client = sessions.ClientInfo(None, None, False, keyring, "https://api.test")
    with db.as_system("test", read_only=True) as tx:
        before = users.user(tx, UUID(kari.user["id"]))
    assert before is not None
    assert kari.delete("/v1/me", {"password": "long enough for us"}).status == 202
    with db.as_system("test") as tx:
        session = signing_in.proceed(tx, before, client, clock.now(), method="password")
    assert isinstance(session, sessions.TokenPair)
    assert Client(session.access_token).get("/v1/me").status == 200
    assert database.execute("select deleted_at from identity.users") == [(None,)]
