"""Exporting an account and deleting it on the deployed system, with real IAM, object versions and signatures."""

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from infra.local import aws, database
from tests.support.challenges import challenge_body
from tests.support.deployed import DeployedPerson, DeployedSystem, Eventually, infra_local
from tests.support.pictures import photo

pytestmark = pytest.mark.e2e


def test_a_person_exports_their_data_and_is_deleted(
    system: DeployedSystem, person: Callable[[str], DeployedPerson], eventually: Eventually
) -> None:
    leaver, other = person("Europe/Oslo"), person("Asia/Tokyo")
    challenge = leaver.call("POST", "/v1/challenges", challenge_body(datetime.now(UTC))).json()
    assert other.call("POST", f"/v1/challenges/{challenge['invite_code']}/join").status_code == 201
    picture = photo(31)
    proof_id = leaver.prove(challenge, picture)
    eventually(
        lambda: leaver.call("GET", f"/v1/proofs/{proof_id}").json()["status"] == "accepted", "the photo to be accepted"
    )

    asked = leaver.call("POST", "/v1/me/export")
    assert (asked.status_code, asked.json()["status"]) == (202, "building")

    def ready() -> dict[str, Any] | None:
        state: dict[str, Any] = leaver.call("GET", "/v1/me/export").json()
        return state if state["status"] == "ready" else None

    export = eventually(ready, "the export")
    download = httpx.get(export["url"])
    assert download.status_code == 200
    assert download.headers["content-disposition"].startswith("attachment; filename=")
    assert len(download.content) == export["size"]
    with zipfile.ZipFile(io.BytesIO(download.content)) as files:
        assert [files.read(name) for name in files.namelist() if name.startswith("photos/")] == [picture]
        assert json.loads(files.read("identity.json"))["users"][0]["email"] == leaver.email
        assert [each["status"] for each in json.loads(files.read("proofs.json"))["proofs"]] == ["accepted"]
    assert httpx.get(export["url"].replace("exports", "uploads", 1)).status_code == 403
    assert httpx.get(export["url"].split("?")[0]).status_code == 403
    mails = eventually(
        lambda: [mail for mail in system.mails(leaver.email) if "is ready" in mail["Subject"]], "the mail about it"
    )
    assert "X-Amz-Signature" not in mails[0]["BodyText"]

    left = leaver.call("DELETE", "/v1/me", {"password": "long enough for us"})
    assert left.status_code == 202, left.text
    assert leaver.call("GET", "/v1/me").json()["code"] == "session_ended"
    roster = other.call("GET", f"/v1/challenges/{challenge['id']}/participants").json()["items"]
    names = [each["username"] for each in roster]
    assert names[0].startswith("deleted_")
    assert names[1] == other.username
    eventually(lambda: [m for m in system.mails(leaver.email) if "deleted" in m["Subject"]], "the mail about leaving")

    s3, bucket = aws.client(system.workspace, "s3"), system.outputs["stack"]["UploadsBucket"]

    def stored() -> list[str]:
        found = s3.list_object_versions(Bucket=bucket)
        return [each["Key"] for each in (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))]

    with psycopg.connect(database.urls(system.workspace).owner, autocommit=True) as connection:
        user = (roster[0]["user_id"],)
        (key,) = connection.execute("select object_key from proofs.proofs where id = %s", [proof_id]).fetchone() or ()
        (export_id,) = connection.execute("select id from privacy.exports where user_id = %s", user).fetchone() or ()
        assert key in stored()
        assert [each for each in stored() if str(export_id) in each]
        connection.execute("update identity.users set deleted_at = now() - interval '31 days' where id = %s", user)
        infra_local(system.workspace, "invoke", "privacy-purge")
        assert key not in stored()
        assert [each for each in stored() if str(export_id) in each] == []
        row = connection.execute("select email, purged_at is not null from identity.users where id = %s", user)
        assert row.fetchone() == (f"{user[0]}@deleted.invalid", True)
    standings = other.call("GET", f"/v1/challenges/{challenge['id']}/standings").json()["items"]
    assert {each["username"]: each["points"] for each in standings} == {names[0]: 10, other.username: 0}
