"""The deployed system over HTTP and S3, as a client uses it, with its real events, queues and schedules."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import boto3
import httpx
import jwt
import psutil
import pytest
from botocore.exceptions import ClientError

from infra.local import aws, database
from infra.tools import story
from infra.tools.photo import Photo
from tests.support.challenges import challenge_body
from tests.support.deployed import DeployedPerson, DeployedSystem, Eventually, infra_local, verdict
from tests.support.pictures import photo

pytestmark = pytest.mark.e2e


def test_the_demo_runs_to_its_end(system: DeployedSystem, capsys: pytest.CaptureFixture[str]) -> None:
    """Two people in two zones: accepted, duplicate, not an image. It raises if anything differs."""
    content = photo(7)
    story.play(system.outputs, photo=Photo(name="seven.jpg", content_type="image/jpeg", content=content))
    told = capsys.readouterr().out
    for word in ("accepted", "duplicate_image", "not_an_image", "1. kenji"):
        assert word in told


def test_concurrent_uploads_get_verdicts_and_copies_of_one_picture_only_one_acceptance(
    system: DeployedSystem, person: Callable[[str], DeployedPerson], eventually: Eventually
) -> None:
    owner, other = person("Europe/Oslo"), person("Asia/Tokyo")
    body = challenge_body(datetime.now(UTC))
    body["rules"]["proof"] = {"max_per_window": 4}
    challenge = owner.call("POST", "/v1/challenges", body).json()
    assert other.call("POST", f"/v1/challenges/{challenge['invite_code']}/join").status_code == 201
    shared = photo(21)
    sends = [(owner, photo(22)), (other, photo(23)), (owner, shared), (other, shared)]
    found: dict[int, dict[str, Any]] = {}

    def send(index: int) -> None:
        who, data = sends[index]
        found[index] = verdict(who, who.prove(challenge, data), eventually)

    threads = [threading.Thread(target=send, args=(index,)) for index in range(len(sends))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[0]["status"], found[1]["status"]] == ["accepted", "accepted"]
    assert sorted([found[2]["status"], found[3]["status"]]) == ["accepted", "rejected"]
    standings = owner.call("GET", f"/v1/challenges/{challenge['id']}/standings").json()["items"]
    assert [(row["rank"], row["points"]) for row in standings] == [(1, 10), (1, 10)]


def test_the_schedule_sends_a_reminder(
    system: DeployedSystem, person: Callable[[str], DeployedPerson], eventually: Eventually
) -> None:
    """The window closes within the hour, so its reminder is due at once; only the schedule sends it."""
    owner = person("Europe/Oslo")
    ends = datetime.now(UTC) + timedelta(minutes=30)
    title = f"Soon over {uuid4().hex[:6]}"
    body = challenge_body(datetime.now(UTC), title=title, ends_at=ends.isoformat())
    assert owner.call("POST", "/v1/challenges", body).status_code == 201
    mail = eventually(lambda: [m for m in system.mails(owner.email) if title in m["Subject"]], "the reminder")[0]
    assert "Europe/Oslo" in mail["BodyText"]


def test_a_change_of_zone_moves_the_windows_that_the_preview_listed(
    system: DeployedSystem, person: Callable[[str], DeployedPerson]
) -> None:
    """The preview is served by another function than the rest of /v1/me."""
    owner = person("Europe/Oslo")
    challenge = owner.call("POST", "/v1/challenges", challenge_body(datetime.now(UTC))).json()
    preview = owner.call("POST", "/v1/me/timezone/preview", {"timezone": "America/Lima"})
    assert preview.status_code == 200, preview.text
    [item] = preview.json()["items"]
    assert item["challenge"]["id"] == challenge["id"]
    assert owner.call("PATCH", "/v1/me", {"timezone": "America/Lima"}).status_code == 200
    dates = [window["local_date"] for window in item["windows"]]
    found = owner.call("GET", f"/v1/challenges/{challenge['id']}/windows?from={dates[0]}&to={dates[-1]}").json()[
        "items"
    ]
    moved = {
        window["local_date"]: {name: window[name] for name in ("opens_at", "closes_at", "timezone")} for window in found
    }
    assert moved == {window["local_date"]: window["to"] for window in item["windows"]}


def test_the_schedules_run_at_their_declared_rates(system: DeployedSystem) -> None:
    template = json.loads((system.workspace.cloud_assembly / "chally-local.template.json").read_text())
    resources = [
        resource for resource in template["Resources"].values() if resource["Type"] == "AWS::Scheduler::Schedule"
    ]
    declared = {each["Properties"]["Name"]: each["Properties"]["ScheduleExpression"] for each in resources}
    scheduler = aws.client(system.workspace, "scheduler")
    deployed = {
        schedule["Name"]: scheduler.get_schedule(Name=schedule["Name"])["ScheduleExpression"]
        for schedule in scheduler.list_schedules()["Schedules"]
    }
    assert deployed == declared
    assert deployed["chally-local-outbox"] == "rate(1 minute)"


def test_windows_can_be_precomputed_by_hand(system: DeployedSystem) -> None:
    infra_local(system.workspace, "invoke", "challenge-windows")


def test_tokens_verify_with_the_published_keys(system: DeployedSystem, person: Callable[[str], DeployedPerson]) -> None:
    token = person("Europe/Oslo").token
    keys = jwt.PyJWKSet.from_dict(system.api.get("/.well-known/jwks.json").json())
    claims = jwt.decode(
        token,
        keys[jwt.get_unverified_header(token)["kid"]],
        algorithms=["RS256"],
        audience="chally",
        issuer=system.outputs["api_url"],
    )
    assert claims["exp"] - claims["iat"] == 900


def test_the_documentation_is_served(system: DeployedSystem) -> None:
    assert "/v1/challenges/{challenge_id}/proofs" in system.api.get("/openapi.json").json()["paths"]
    assert httpx.get(system.outputs["docs_url"]).status_code == 200
    assert len(httpx.get(system.outputs["docs_url"] + "/swagger-ui-bundle.js").text) > 1_000_000


def test_only_browsers_of_listed_origins_may_call(system: DeployedSystem) -> None:
    def preflight(origin: str) -> httpx.Response:
        headers = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type,idempotency-key",
        }
        return system.api.options("/v1/challenges", headers=headers)

    named = preflight("http://localhost:3000")
    assert named.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert int(named.headers["access-control-max-age"]) >= 600
    assert "access-control-allow-origin" not in preflight("https://evil.example").headers


def test_each_function_has_only_its_own_permissions(system: DeployedSystem) -> None:
    """IAM is enforced here: the role of the API's challenges function reads neither the key of tokens nor photos."""
    iam, sts = aws.client(system.workspace, "iam"), aws.client(system.workspace, "sts")
    function = aws.client(system.workspace, "lambda").get_function_configuration(FunctionName="chally-local-challenges")
    role = function["Role"]
    assert iam.get_role(RoleName=role.rsplit("/", 1)[1])
    keys = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    stolen = {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }

    def client(service: str) -> Any:
        return boto3.client(service, region_name="us-east-1", endpoint_url=system.outputs["aws_url"], **stolen)  # type: ignore[call-overload]

    bucket = system.outputs["stack"]["UploadsBucket"]
    identity = aws.client(system.workspace, "lambda").get_function_configuration(FunctionName="chally-local-identity")
    secret = identity["Environment"]["Variables"]["CHALLY_SIGNING_SECRET_ARN"]
    refused: tuple[Callable[[], object], ...] = (
        lambda: client("secretsmanager").get_secret_value(SecretId=secret),
        lambda: client("s3").put_object(Bucket=bucket, Key="uploads/x", Body=b""),
        lambda: client("s3").list_objects_v2(Bucket=bucket),
        lambda: client("sesv2").list_email_identities(),
        lambda: client("lambda").list_functions(),
        lambda: client("sqs").receive_message(QueueUrl=system.outputs["stack"]["OutboxQueueUrl"]),
    )
    for forbidden in refused:
        with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
            forbidden()
    client("sqs").send_message(QueueUrl=system.outputs["stack"]["OutboxQueueUrl"], MessageBody="{}")


def test_logs_are_json_with_the_request_id(system: DeployedSystem, eventually: Eventually) -> None:
    trace = uuid4().hex
    answer = system.api.get("/version", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    request_id = answer.headers["x-request-id"]
    logs = aws.client(system.workspace, "logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]

    def line() -> list[str]:
        events = [event for group in groups for event in logs.filter_log_events(logGroupName=group)["events"]]
        return [event["message"] for event in events if request_id in event["message"]]

    (message,) = eventually(line, "the log line")
    assert f'"trace_id":"{trace}"' in message
    assert '"route":"/version"' in message


def test_an_unreachable_database_is_reported_and_recovered_from(system: DeployedSystem, eventually: Eventually) -> None:
    server = database.embedded(system.workspace)
    server.stop()
    try:
        answer = system.api.get("/ready")
        assert answer.status_code == 503
        assert answer.json()["checks"]["database"] == "unreachable"
        refused = system.api.post("/v1/auth/login", json={"login": "anna", "password": "whatever it is"})
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert system.api.get("/live").status_code == 200
    finally:
        server.start()
    assert system.api.get("/ready").status_code == 200


def test_killed_servers_come_back_with_the_data(
    system: DeployedSystem, person: Callable[[str], DeployedPerson], eventually: Eventually
) -> None:
    """Tests that run after this one find a working system."""
    somebody = person("Europe/Oslo")
    pid, _ = (system.workspace.aws_directory / "ministack.pid").read_text().split()
    psutil.Process(int(pid)).kill()
    infra_local(system.workspace, "up")
    login = {"login": somebody.username, "password": "long enough for us"}
    session = system.api.post("/v1/auth/login", json=login)
    assert session.status_code == 200, session.text
    headers = {"authorization": f"Bearer {session.json()['access_token']}"}
    assert system.api.get("/v1/me", headers=headers).json()["username"] == somebody.username
