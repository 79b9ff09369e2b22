"""Exports: requested over HTTP, built by the job, downloaded through a link."""

import io
import json
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pytest

from chally import clock, db
from chally.personal_data import StoredObject
from privacy import archive, exports, rules
from privacy.exports import PersonalData
from privacy.jobs import exports_handler, purge_handler
from tests.support.api import Client, LambdaContext
from tests.support.database import Database
from tests.support.environment import PUBLIC_URL
from tests.support.mailed_links import turn_on_totp
from tests.support.people import PASSWORD, SignUp
from tests.support.personal_data import BUCKET, NOTE, PHOTO, Traces, leave_traces
from tests.support.totp_phone import Later

At = Callable[[datetime], None]
Mails = Callable[[], list[dict[str, Any]]]
NOTHING = {"requested_at": None, "size": None, "url": None, "expires_at": None}


@pytest.fixture
def traces(person: SignUp, database: Database) -> Traces:
    found = leave_traces(person, database)
    database.execute("delete from privacy.exports")
    return found


def build() -> int:
    return int(exports_handler({}, LambdaContext())["built"])


def fetch(url: str) -> bytes:
    """Downloads what the link names. tests/e2e/test_account.py checks that storage accepts its signature."""
    key = unquote(urlsplit(url).path).removeprefix("/")
    return boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()


def unzip(url: str) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(fetch(url))) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


class TestAsking:
    def test_an_export_goes_from_none_to_ready(self, person: SignUp, mails: Mails, at: At) -> None:
        kari = person("kari")
        assert kari.get("/v1/me/export").json == {"status": "none"} | NOTHING
        asked = kari.post("/v1/me/export")
        assert (asked.status, asked.json["status"]) == (202, "building")
        assert kari.get("/v1/me/export").json == asked.json
        assert build() == 1
        ready = kari.get("/v1/me/export")
        assert ready.status == 200
        assert ready.json["status"] == "ready"
        assert ready.json["requested_at"] == asked.json["requested_at"]
        assert ready.json["size"] == len(fetch(ready.json["url"]))
        expires = datetime.fromisoformat(ready.json["expires_at"])
        assert timedelta(days=6, hours=23) < expires - clock.now() <= timedelta(days=7)
        mail = mails()[-1]
        assert (mail["template"], mail["user_id"]) == ("export_ready", kari.user["id"])
        # a mailbox must not hold a key to everything
        assert mail["values"] == {"link": f"{PUBLIC_URL}/v1/me/export", "expires_at": expires.isoformat()}
        at(expires)
        assert kari.get("/v1/me/export").json["status"] == "none"

    def test_the_link_is_valid_for_ten_minutes_and_saves_a_file(self, person: SignUp) -> None:
        kari = person("kari")
        kari.post("/v1/me/export")
        build()
        url = urlsplit(kari.get("/v1/me/export").json["url"])
        query = parse_qs(url.query)
        assert url.path.startswith("/exports/")
        assert query["X-Amz-Expires"] == ["600"]
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
        assert query["response-content-disposition"] == [f'attachment; filename="chally-{clock.now():%Y-%m-%d}.zip"']

    def test_an_export_is_visible_to_its_user_only(self, nobody: Client, person: SignUp) -> None:
        kari, liv = person("kari"), person("liv")
        assert nobody.post("/v1/me/export").code == nobody.get("/v1/me/export").code == "unauthenticated"
        kari.post("/v1/me/export")
        assert liv.get("/v1/me/export").json["status"] == "none"
        build()
        assert liv.get("/v1/me/export").json["status"] == "none"

    def test_requesting_and_downloading_require_a_recent_sign_in(self, person: SignUp, later: Later) -> None:
        """An unlocked device must not give everything away."""
        kari = person("kari")
        later(timedelta(minutes=10, seconds=1))
        assert kari.post("/v1/me/export").code == "step_up_required"
        assert kari.post("/v1/me/step-up", {"password": PASSWORD}).status == 204
        assert kari.post("/v1/me/export").status == 202
        later(timedelta(minutes=10, seconds=1))
        assert kari.get("/v1/me/export").json["status"] == "building"  # there is nothing to protect yet
        build()
        refused = kari.get("/v1/me/export")
        assert (refused.status, refused.code) == (403, "step_up_required")
        assert kari.post("/v1/me/step-up", {"password": PASSWORD}).status == 204
        assert kari.get("/v1/me/export").json["status"] == "ready"

    def test_with_an_authenticator_app_an_export_requires_a_second_factor(
        self, person: SignUp, database: Database
    ) -> None:
        kari = person("kari")
        kari.post("/v1/me/export")
        build()
        turn_on_totp(database, kari)
        assert kari.get("/v1/me/export").code == "step_up_required"
        assert kari.post("/v1/me/export").code == "step_up_required"
        database.execute("update identity.sessions set second_factor = true")
        assert kari.get("/v1/me/export").json["status"] == "ready"

    def test_a_request_during_the_build_returns_the_same_export_and_is_free(
        self, person: SignUp, database: Database
    ) -> None:
        kari = person("kari")
        responses = [kari.post("/v1/me/export").json for _ in range(5)]
        assert responses == [responses[0]] * 5
        assert database.execute("select count(*) from privacy.exports") == [(1,)]
        assert build() == 1
        assert build() == 0

    def test_a_user_requests_three_exports_a_day(self, person: SignUp, at: At) -> None:
        kari = person("kari")
        at(clock.now())
        for _ in range(3):
            assert kari.post("/v1/me/export").status == 202
            build()
        refused = kari.post("/v1/me/export")
        assert (refused.code, refused.headers["retry-after"]) == ("rate_limited", str(8 * 3600))
        assert kari.get("/v1/me/export").json["status"] == "ready"

    def test_requests_and_builds_are_audited(self, person: SignUp, database: Database) -> None:
        kari = person("kari")
        kari.post("/v1/me/export")
        kari.post("/v1/me/export")
        build()
        acts = database.execute("select action, user_id::text from core.audit where action like 'export%%' order by id")
        assert acts == [("export_requested", kari.user["id"]), ("export_built", kari.user["id"])]


class TestContents:
    def test_an_export_contains_every_table_and_the_photos(
        self, traces: Traces, person: SignUp, database: Database
    ) -> None:
        person("liv").post(f"/v1/challenges/{traces.challenge['invite_code']}/join")
        traces.client.post("/v1/me/export")
        build()
        files = unzip(traces.client.get("/v1/me/export").json["url"])
        ((proof_id,),) = database.execute("select id::text from proofs.proofs")
        (photo,) = [name for name in files if name.startswith("photos/")]
        assert photo.endswith(f"_{proof_id}.jpg")
        assert files[photo] == PHOTO
        contexts = {name: json.loads(data) for name, data in files.items() if name.endswith(".json")}
        assert contexts.keys() == {
            *("core.json", "identity.json", "challenges.json", "proofs.json", "notifications.json", "privacy.json")
        }
        empty = [f"{name} {table}" for name, tables in contexts.items() for table, rows in tables.items() if not rows]
        assert empty == []
        (user,) = contexts["identity.json"]["users"]
        assert (user["email"], user["username"], user["timezone"]) == ("kari@people.test", "kari", "Europe/Berlin")
        assert {each["user_agent"] for each in contexts["identity.json"]["sessions"]} == {"tests", "KariPhone/7"}
        assert [each["note"] for each in contexts["proofs.json"]["proofs"]] == [NOTE]
        assert [each["title"] for each in contexts["challenges.json"]["participants"]] == ["Run before eight"]
        assert "kari" in files["README.txt"].decode()
        assert "deletion_requested" in files["core.json"].decode()

    def test_an_export_contains_no_secrets_and_no_data_of_others(
        self, traces: Traces, person: SignUp, database: Database
    ) -> None:
        liv = person("liv")
        liv.post(f"/v1/challenges/{traces.challenge['invite_code']}/join")
        database.execute(  # a moderator viewed the account: their ip and user agent are theirs
            "insert into core.audit (at, action, actor_id, user_id, ip, user_agent)"
            " values (now(), 'account_banned', %(liv)s, %(kari)s, '203.0.113.99', 'LivBrowser/1')",
            liv=liv.user["id"],
            kari=traces.client.user["id"],
        )
        traces.client.post("/v1/me/export")
        build()
        text = "\n".join(data.decode(errors="replace") for data in unzip(export_url(traces)).values())
        assert "account_banned" in text
        for secret in (*traces.secrets, "argon2", "BEGIN", "deletion_requested_token"):
            assert secret not in text
        for other in (liv.user["id"], "liv@people.test", "LivBrowser", "203.0.113.99"):
            assert other not in text

    def test_missing_photos_are_mentioned(self, traces: Traces) -> None:
        boto3.client("s3").delete_object(Bucket=BUCKET, Key=traces.object_key)
        traces.client.post("/v1/me/export")
        build()
        files = unzip(export_url(traces))
        assert [name for name in files if name.startswith("photos/")] == []
        assert "1 older photos are deleted" in files["README.txt"].decode()

    def test_photos_that_do_not_fit_are_listed(self, cloud: None) -> None:
        s3 = boto3.client("s3")
        photos = []
        for number, size in enumerate((600, 600, 300)):
            s3.put_object(Bucket=BUCKET, Key=f"uploads/{number}", Body=b"x" * size)
            photos.append(StoredObject(f"uploads/{number}", f"photos/{number}.jpg"))
        file = io.BytesIO()
        archive.write(file, PersonalData("kari", {}, photos), bucket=BUCKET, now=clock.now(), limit=1000)
        with zipfile.ZipFile(file) as found:
            assert found.namelist() == ["photos/0.jpg", "photos/2.jpg", "README.txt"]
            assert found.read("README.txt").decode().endswith("Ask us for them:\n  photos/1.jpg\n")


def export_url(traces: Traces) -> str:
    return str(traces.client.get("/v1/me/export").json["url"])


class TestJob:
    def test_a_failed_export_is_built_again_when_its_lease_ends(
        self, person: SignUp, monkeypatch: pytest.MonkeyPatch, at: At, mails: Mails
    ) -> None:
        kari, liv = person("kari"), person("liv")
        now = clock.now()
        at(now)
        kari.post("/v1/me/export")
        liv.post("/v1/me/export")
        upload = archive.upload

        def refuse_the_first(*args: Any, **kwargs: Any) -> None:
            monkeypatch.setattr(archive, "upload", upload)
            raise TimeoutError

        monkeypatch.setattr(archive, "upload", refuse_the_first)
        with pytest.raises(RuntimeError, match="1 exports failed"):
            exports_handler({}, Patient())
        assert (kari.get("/v1/me/export").json["status"], liv.get("/v1/me/export").json["status"]) == (
            "building",
            "ready",
        )
        at(now + rules.EXPORT_LEASE - timedelta(seconds=1))
        assert build() == 0
        at(now + rules.EXPORT_LEASE)
        assert build() == 1
        assert kari.post("/v1/me/step-up", {"password": PASSWORD}).status == 204
        assert kari.get("/v1/me/export").json["status"] == "ready"
        assert [mail["template"] for mail in mails()][-2:] == ["export_ready", "export_ready"]

    def test_an_export_that_always_fails_is_given_up_and_can_be_requested_again(
        self, person: SignUp, database: Database, at: At
    ) -> None:
        kari = person("kari")
        kari.post("/v1/me/export")
        database.execute("update privacy.exports set attempts = %(n)s", n=rules.EXPORT_ATTEMPTS)
        assert build() == 0
        at(clock.now() + rules.EXPORTS_KEPT + timedelta(minutes=1))
        with db.as_system("test") as tx:
            exports.delete_old(tx, clock.now())
        assert kari.get("/v1/me/export").json["status"] == "none"
        assert kari.post("/v1/me/step-up", {"password": PASSWORD}).status == 204
        assert kari.post("/v1/me/export").status == 202
        assert build() == 1

    def test_the_nightly_purge_deletes_the_rows_of_old_exports(
        self, person: SignUp, database: Database, at: At, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = clock.now()
        at(now)
        person("kari").post("/v1/me/export")
        build()
        at(now + rules.EXPORT_LIFE + rules.EXPORTS_KEPT - timedelta(seconds=1))
        purge_handler({}, LambdaContext())
        assert database.execute("select count(*) from privacy.exports") == [(1,)]
        at(now + rules.EXPORT_LIFE + rules.EXPORTS_KEPT)
        with monkeypatch.context() as broken:
            broken.setattr(exports, "delete_old", refuse)
            with pytest.raises(RuntimeError, match="1 parts"):
                purge_handler({}, LambdaContext())
        purge_handler({}, LambdaContext())
        assert database.execute("select count(*) from privacy.exports") == [(0,)]

    def test_two_runs_never_build_the_same_export(self, person: SignUp, mails: Mails) -> None:
        person("kari").post("/v1/me/export")
        with db.as_system("one run") as tx:
            claimed = exports.claim(tx, clock.now())
        assert claimed is not None
        assert build() == 0
        for finished in (True, False):  # a run that was interrupted and continued
            with db.as_system("its end") as tx:
                key = exports.new_key(claimed.id)
                assert finished is exports.finish(
                    tx, claimed, object_key=key, size=1, public_url=PUBLIC_URL, now=clock.now()
                )
        assert [mail["template"] for mail in mails()].count("export_ready") == 1

    def test_nothing_is_built_for_a_deleted_account(self, person: SignUp) -> None:
        kari = person("kari")
        kari.post("/v1/me/export")
        assert kari.delete("/v1/me", {"password": "long enough for us"}).status == 202
        assert build() == 0
        assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET)

    def test_errors_are_logged_without_personal_data(
        self, traces: Traces, monkeypatch: pytest.MonkeyPatch, logs: Callable[[], str]
    ) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise TimeoutError

        monkeypatch.setattr(archive, "upload", refuse)
        traces.client.post("/v1/me/export")
        with pytest.raises(RuntimeError):
            build()
        for personal in traces.personal:
            assert personal not in logs() or personal == "kari"


def refuse(*args: object) -> int:
    raise TimeoutError


class Patient(LambdaContext):
    def get_remaining_time_in_millis(self) -> int:
        return 890_000
