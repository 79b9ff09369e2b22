"""What `chally.http` and its middleware do for every route, on a small router of these tests."""

import ast
import re
from collections.abc import Callable
from typing import Any

import fastapi
import psycopg
import pytest

from chally import clock, db, http, outbox, ratelimit
from chally.errors import AppError
from chally.http import AnonymousTx, CurrentActor, SystemTx, UserTx
from infra.tools.bootstrap import ROOT
from tests.support.api import Client, LambdaContext, Response, read_response, request_event
from tests.support.database import Database
from tests.support.people import SignUp

router = http.router("test")
SECRET = "secret@people.test"


class Taken(AppError):
    status = 409
    code = "taken"
    detail = "The name is taken."


@router.post("/deferred")
async def deferred(tx: UserTx) -> dict[str, str]:
    """Violates a constraint that COMMIT checks."""
    tx.run("insert into public.deferred values (1, 2)", {})
    return {"status": "done"}


@router.post("/counted", status_code=201)
async def counted(tx: UserTx, response: fastapi.Response) -> dict[str, Any]:
    response.headers["Location"] = "/counted/1"
    return {"n": tx.value("insert into public.counted default values returning n", {})}


@router.get("/written")
async def written(tx: UserTx) -> dict[str, str]:
    """A GET that tries to write."""
    tx.run("insert into public.counted default values", {})
    return {}


@router.post("/mailed")
async def mailed(tx: SystemTx) -> dict[str, str]:
    outbox.add(tx, "mail", {"template": "reminder", "values": {}})
    return {}


@router.post("/mailed-and-failed")
async def mailed_and_failed(tx: SystemTx) -> dict[str, str]:
    outbox.add(tx, "mail", {"template": "reminder", "values": {}})
    raise Taken


@router.post("/taken")
async def taken(tx: UserTx) -> dict[str, str]:
    tx.run("insert into public.taken values (1)", {})
    return {}


@router.post("/leaky")
async def leaky(tx: UserTx) -> dict[str, str]:
    """Fails with an error whose detail quotes the row."""
    tx.run("insert into public.people (mail, age) values (%(mail)s, -1)", {"mail": SECRET})
    return {}


@router.get("/broken")
async def broken(tx: AnonymousTx) -> dict[str, str]:
    raise RuntimeError("the secret is 42")


@router.get("/raced")
async def raced(tx: AnonymousTx) -> dict[str, int]:
    races.append(1)
    if len(races) < 3:
        raise psycopg.errors.SerializationFailure
    return {"attempts": len(races)}


@router.get("/lost")
async def lost(tx: AnonymousTx) -> dict[str, str]:
    races.append(1)
    raise psycopg.errors.DeadlockDetected


@router.post("/limited")
async def limited(request: fastapi.Request, actor: CurrentActor) -> dict[str, str]:
    """Consumes two limits, then loses to concurrent transactions as often as the header says."""
    races.append(1)
    now = clock.now()
    ratelimit.consume(now, actor, narrow="kari")
    ratelimit.consume(now, wide="kari")
    with db.as_user(actor):
        if len(races) <= int(request.headers.get("lose", "0")):
            raise psycopg.errors.SerializationFailure
    return {}


@router.post("/counted-after-conflict")
async def counted_after_conflict(tx: UserTx) -> dict[str, Any]:
    n = tx.value("insert into public.counted default values returning n", {})
    races.append(1)
    if len(races) == 1:
        raise psycopg.errors.SerializationFailure
    return {"n": n}


races: list[int] = []
handler = http.lambda_handler(router, {"taken_pkey": Taken})


def call(method: str, path: str, token: str | None = None, body: str | None = None, **headers: str) -> Response:
    event = request_event(method, path, {})
    event["headers"] |= {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        event["headers"]["authorization"] = f"Bearer {token}"
    if body is not None:
        event["body"] = body
    return read_response(handler(event, LambdaContext()))


@pytest.fixture
def token(person: SignUp, database: Database) -> str:
    database.execute("create table public.counted (n serial)")
    database.execute("create table public.one (id int primary key)")
    database.execute("create table public.deferred (n int, m int references public.one deferrable initially deferred)")
    database.execute("create table public.taken (id int constraint taken_pkey primary key)")
    database.execute("insert into public.taken values (1)")
    database.execute("create table public.people (mail text, age int constraint people_age check (age >= 0))")
    database.execute("grant usage on schema public to chally_app")
    database.execute("grant all on all tables in schema public to chally_app")
    database.execute("grant all on all sequences in schema public to chally_app")
    races.clear()
    return str(person("kari").token)


class TestTransaction:
    def test_a_failed_commit_is_not_reported_as_success(self, token: str, database: Database) -> None:
        refused = call("POST", "/deferred", token)
        assert refused.status == 500
        assert refused.code == "internal_error"
        assert database.execute("select count(*) from public.deferred") == [(0,)]

    def test_a_get_cannot_write(self, token: str, database: Database) -> None:
        assert call("GET", "/written", token).status == 500
        assert database.execute("select count(*) from public.counted") == [(0,)]

    def test_a_constraint_becomes_its_error(self, token: str) -> None:
        assert call("POST", "/taken", token).code == "taken"

    def test_a_request_runs_again_after_a_conflict(self, token: str) -> None:
        assert call("GET", "/raced").json == {"attempts": 3}

    def test_three_conflicts_are_503(self, token: str) -> None:
        refused = call("GET", "/lost")
        assert refused.code == "unavailable"
        assert refused.headers["retry-after"] == "1"
        assert len(races) == 3

    @pytest.mark.parametrize("lose", [1, 2, 3])
    def test_a_request_that_runs_again_is_charged_to_its_limits_once(
        self, token: str, database: Database, lose: int
    ) -> None:
        database.execute("""
            insert into core.limits (name, quantity, period, per, counts) values
                ('narrow', 2, '1 hour', 'account and ip', 'tests'), ('wide', 3, '1 hour', 'account', 'tests')
        """)
        assert call("POST", "/limited", token, lose=str(lose)).status == (200 if lose < 3 else 503)
        assert call("POST", "/limited", token).status == 200
        assert call("POST", "/limited", token).code == "rate_limited"
        names = "select name from core.rate_limits where name in ('narrow', 'wide') order by name"
        assert database.execute(names) == [("narrow",), ("wide",)]

    def test_a_request_that_runs_again_is_logged_and_measured_once(
        self, token: str, logs: Callable[[], str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        call("GET", "/raced")
        assert logs().count('"message":"request"') == 1
        assert '"Requests":[1.0]' in capsys.readouterr().out.replace(" ", "")

    def test_mail_is_stored_only_if_the_transaction_commits(self, token: str, database: Database) -> None:
        database.execute("delete from core.outbox")
        assert call("POST", "/mailed-and-failed", token).code == "taken"
        assert database.execute("select count(*) from core.outbox") == [(0,)]
        assert call("POST", "/mailed", token).status == 200
        assert database.execute("select count(*) from core.outbox") == [(1,)]

    def test_a_connection_closed_while_idle_is_replaced(self, token: str, database: Database) -> None:
        assert call("POST", "/counted", token).status == 201
        kill = "select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = 'chally_app'"
        database.execute(kill)
        assert call("POST", "/counted", token).status == 201

    def test_a_connection_lost_during_a_request_is_503(
        self, token: str, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = db.Tx.value

        def killed(self: db.Tx, sql: str, params: db.Params) -> Any:
            database.execute(
                "select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = 'chally_app'"
            )
            return real(self, sql, params)

        monkeypatch.setattr(db.Tx, "value", killed)
        assert call("POST", "/counted", token).code == "unavailable"
        monkeypatch.undo()
        assert call("POST", "/counted", token).status == 201
        assert database.execute("select count(*) from public.counted") == [(1,)]


class TestIdempotency:
    def test_a_repeat_of_a_running_request_is_409(self, token: str, database: Database) -> None:
        user_id = Client(token).get("/v1/me").json["id"]
        with psycopg.connect(database.url) as first:
            first.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{user_id} k1"])
            refused = call("POST", "/counted", token, idempotency_key="k1")
        assert refused.code == "idempotency_in_progress"
        assert call("POST", "/counted", token, idempotency_key="k1").status == 201

    def test_a_repeated_key_has_one_effect(self, token: str, database: Database) -> None:
        responses = [call("POST", "/counted", token, idempotency_key="k1") for _ in range(2)]
        assert [each.json for each in responses] == [{"n": 1}, {"n": 1}]
        assert responses[1].headers["location"] == "/counted/1"
        assert database.execute("select count(*) from public.counted") == [(1,)]

    def test_a_keyed_request_that_runs_again_has_one_effect(self, token: str, database: Database) -> None:
        first, repeated = (call("POST", "/counted-after-conflict", token, idempotency_key="k1") for _ in range(2))
        assert first.json == repeated.json
        assert repeated.headers["idempotent-replayed"] == "true"
        assert database.execute("select count(*) from public.counted") == [(1,)]

    def test_an_error_is_not_stored(self, token: str, database: Database) -> None:
        assert call("POST", "/taken", token, idempotency_key="k1").code == "taken"
        database.execute("delete from public.taken")
        assert call("POST", "/taken", token, idempotency_key="k1").status == 200

    def test_a_key_expires_after_a_day(self, token: str, database: Database) -> None:
        call("POST", "/counted", token, idempotency_key="k1")
        database.execute("update core.idempotency_keys set created_at = now() - interval '25 hours'")
        assert call("POST", "/counted", token, idempotency_key="k1").json == {"n": 2}


class TestResponses:
    def test_an_unexpected_error_reveals_nothing(self, token: str) -> None:
        refused = call("GET", "/broken")
        assert refused.code == "internal_error"
        assert "secret" not in refused.text

    def test_the_values_of_a_failed_row_are_not_logged(self, token: str, logs: Callable[[], str]) -> None:
        assert call("POST", "/leaky", token).code == "internal_error"
        assert "people_age" in logs()
        assert SECRET not in logs()

    def test_every_response_has_a_request_id_and_the_security_headers(self, token: str) -> None:
        for refused in (call("GET", "/broken"), call("GET", "/nowhere"), call("POST", "/counted", token)):
            assert refused.headers["x-request-id"]
            assert refused.headers["x-content-type-options"] == "nosniff"
            assert refused.headers["content-security-policy"].startswith("default-src 'none'")

    def test_the_request_id_is_that_of_the_gateways_log(self, token: str) -> None:
        event = request_event("GET", "/nowhere", {})
        event["requestContext"]["requestId"] = "Zf3kQg1hFiAEJ4Q="
        assert read_response(handler(event, LambdaContext())).headers["x-request-id"] == "Zf3kQg1hFiAEJ4Q="

    def test_a_problem_has_the_request_id(self, token: str) -> None:
        refused = call("GET", "/nowhere")
        assert refused.status == 404
        assert refused.json["request_id"] == refused.headers["x-request-id"]

    def test_an_unsupported_method_is_405(self, token: str) -> None:
        refused = call("DELETE", "/counted")
        assert refused.code == "method_not_allowed"
        assert refused.headers["allow"] == "POST"

    def test_a_body_over_a_megabyte_is_413(self, token: str) -> None:
        assert call("POST", "/counted", token, body="x" * 1_000_001).code == "payload_too_large"

    def test_hsts_is_sent_outside_the_local_stage(self, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
        from chally import settings

        assert "strict-transport-security" not in call("GET", "/nowhere").headers
        monkeypatch.setenv("CHALLY_STAGE", "prod")
        settings.load.cache_clear()
        assert "max-age=63072000" in call("GET", "/nowhere").headers["strict-transport-security"]


class TestTrace:
    PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    def test_an_incoming_trace_continues(self, token: str, database: Database, logs: Callable[[], str]) -> None:
        call("POST", "/mailed", token, traceparent=self.PARENT)
        assert '"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"' in logs()
        (stored,) = database.execute("select traceparent from core.outbox order by id desc limit 1")[0]
        assert stored.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
        assert stored != self.PARENT  # it has a new span id

    @pytest.mark.parametrize("parent", ["", "garbage", f"00-{'0' * 32}-00f067aa0ba902b7-01", PARENT + "-more"])
    def test_an_invalid_traceparent_starts_a_new_trace(self, token: str, logs: Callable[[], str], parent: str) -> None:
        assert call("POST", "/mailed", token, traceparent=parent).status == 200
        assert "4bf92f35" not in logs()


def test_a_nested_transaction_raises(cloud: None) -> None:
    with db.as_anonymous(), pytest.raises(RuntimeError, match="cannot be nested"), db.as_anonymous():
        pass


def test_no_route_has_two_transactions_that_write() -> None:
    """A request that runs again after a conflict would repeat the first of them."""
    writing = {"UserTx", "TrustedTx", "AccountTx", "SystemTx", "AnonymousTx"}
    functions = [
        (path, node)
        for path in (ROOT / "functions").glob("*/routes/**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert len(functions) > 50
    for path, function in functions:
        source = ast.unparse(function)
        injected = [each for each in function.args.args if each.annotation and ast.unparse(each.annotation) in writing]
        opened = [call for call in re.findall(r"db\.as_\w+\([^\n]*\) as tx", source) if "read_only=True" not in call]
        assert len(injected) + len(opened) <= 1, f"{path.name}: {function.name}"
