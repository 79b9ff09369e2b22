"""Every route is called with secrets in every place, whole and in pieces; no log contains any of them.

Routes and entry points are collected from the code, so new ones are included.
"""

import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import fastapi.routing
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from chally import access_tokens, aws, cookies, db, ratelimit
from chally.clock import now
from chally.db import Tx
from chally.jobs import JobFailed
from chally.log import logger
from chally.redaction import is_secret_name
from chally.settings import BY_HANDLER
from identity import passwords, rules, tokens
from identity.keyring import Keyring
from identity.queries import sessions
from tests.support.api import Client, LambdaContext, Response
from tests.support.database import Database
from tests.support.environment import PUBLIC_URL

PASSWORD = "correct horse battery staple"
CONTEXTS = [name.rpartition(".")[0] for name in BY_HANDLER if name.endswith(".routes.handler")]
JOBS = [name for name in BY_HANDLER if ".jobs." in name]


def routes_of(router: APIRouter) -> Iterator[APIRoute]:
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        else:  # a router included in this one
            yield from routes_of(route.original_router)  # type: ignore[attr-defined]


ROUTES = [route for context in CONTEXTS for route in routes_of(import_module(context).router)]


def test_routes_and_jobs_are_found() -> None:
    assert len(ROUTES) > 60
    assert len(CONTEXTS) == 5


# --- requests ----------------------------------------------------------------------------------------------


@dataclass
class Sent:
    """Fresh secrets, by their names in request bodies."""

    client: Client
    refresh_token: str = field(default_factory=tokens.random)
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unique = secrets.token_hex(5)
        address = f"kari.{unique}@people.test"
        self.values = {
            "email": address,
            "login": address,
            "username": f"kari_{unique}",
            "timezone": "Europe/Berlin",
            "password": f"old {unique} horse battery",
            "current_password": PASSWORD,
            "new": f"new {unique} horse battery",
            "token": tokens.random(),
            "mfa_token": tokens.random(),
            "refresh_token": self.refresh_token,
            "code": "739518",
            "backup_code": "K7QM-9XWV-3DTR",
            "assertion": {"id": tokens.random(), "type": "public-key", "response": {"signature": tokens.random()}},
            "attestation": {"id": tokens.random(), "type": "public-key", "response": {"x": tokens.random()}},
        }

    def secrets(self) -> set[str]:
        """Everything that must not be logged: secrets by name, addresses, and the client's tokens."""
        known = {PASSWORD, self.values["email"], self.values["new"]}
        for name, value in self.values.items():
            if is_secret_name(name):
                known |= leaves(value)
        known |= set(self.client.cookies.values())
        if self.client.token:
            known |= {self.client.token, self.client.token.split(".")[2]}
        return {each for each in known if len(each) > 5 and each != "public-key"}

    def bodies(self, route: APIRoute) -> list[Any]:
        """Bodies that are valid by schema, one with every known field, and ones that are no objects."""
        hostile = {"values": self.values, "deep": [{"list": [self.values]}], **self.values}
        return [*self._good(route), hostile, [self.values], self.values["token"]]

    def _good(self, route: APIRoute) -> list[Any]:
        if route.body_field is None:
            return [None]
        model: Any = route.body_field.field_info.annotation
        schema = TypeAdapter(model).json_schema()
        whole = self._example(schema, "", schema.get("$defs", {}))
        required = _resolve(schema, schema.get("$defs", {})).get("required", [])
        least = {name: whole[name] for name in required}
        return [whole, *({**least, name: value} for name, value in whole.items() if name not in required), least]

    def _example(self, schema: dict[str, Any], name: str, definitions: dict[str, Any]) -> Any:
        schema = _resolve(schema, definitions)
        if name in self.values:
            return self.values[name]
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        match schema.get("type"):
            case "object":
                properties = schema.get("properties", {}).items()
                return {key: self._example(value, key, definitions) for key, value in properties}
            case "array":
                return [self._example(schema.get("items", {}), "", definitions)]
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return True
            case "null":
                return None
        formats = {"uuid": str(uuid4()), "date-time": "2030-01-01T00:00:00Z", "date": "2030-01-01"}
        other = "05:00" if "pattern" in schema else "text"
        return schema.get("default") or formats.get(schema.get("format", ""), other)


def _resolve(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    while True:
        choices = schema.get("anyOf") or schema.get("oneOf")
        if "$ref" in schema:
            schema = definitions[schema["$ref"].rpartition("/")[2]]
        elif choices:
            schema = choices[0]
        else:
            return schema


def leaves(value: Any) -> set[str]:
    if isinstance(value, dict | list):
        return {leaf for each in (value.values() if isinstance(value, dict) else value) for leaf in leaves(each)}
    return {str(value)} if isinstance(value, str | int) and not isinstance(value, bool) else set()


def secrets_of(answer: Response) -> set[str]:
    """The secrets in a response: tokens, codes and seeds in its body and cookies."""
    found = {line.partition("=")[2].partition(";")[0].strip('"') for line in answer.cookies}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                walk(each, key)
        elif is_secret_name(name):
            found.update(leaves(value))

    if answer.status < 300 and answer.text.startswith("{"):
        walk(answer.json, "")
    return {each for each in found if len(each) > 5}


# --- callers -----------------------------------------------------------------------------------------------


@dataclass
class People:
    database: Database
    keyring: Keyring
    hash: str

    def nobody(self) -> Sent:
        return Sent(Client())

    def bearer(self) -> Sent:
        return self._member(None)

    def browser(self) -> Sent:
        return self._member("cookie")

    def _member(self, transport: str | None) -> Sent:
        name = f"member_{uuid4().hex[:12]}"
        ((user_id,),) = self.database.execute(
            "insert into identity.users (email, username, password_hash, timezone, email_verified_at)"
            " values (%(name)s || '@people.test', %(name)s, %(hash)s, 'Europe/Berlin', now()) returning id",
            name=name,
            hash=self.hash,
        )
        refresh_token = tokens.random()
        with db.as_system("tests") as tx:
            session = sessions.add_session(tx, user_id, user_agent=None, ip=None, second_factor=True, now=now())
            until = now() + rules.REFRESH_LIFE
            sessions.add_refresh_token(tx, tokens.digest(refresh_token), session, 0, until)
        csrf = self.keyring.csrf_token(session) if transport else None
        access = self.keyring.access_token(
            issuer=PUBLIC_URL,
            user_id=user_id,
            session_id=session,
            csrf=cookies.csrf_digest(csrf) if csrf else None,
            now=now(),
        )
        if csrf is None:
            return Sent(Client(access), refresh_token)
        jar = {cookies.ACCESS: access, cookies.REFRESH: refresh_token, cookies.CSRF: csrf}
        headers = {"x-session-transport": "cookie", "x-csrf-token": csrf}
        return Sent(Client(cookies=jar, headers=headers), refresh_token)


@pytest.fixture
def people(cloud: None, database: Database, keyring: Keyring) -> People:
    return People(database, keyring, passwords.make_hash(PASSWORD))


PERSONS = ["nobody", "bearer", "browser"]


# --- logs -------------------------------------------------------------------------------------------------


@dataclass
class Log:
    """Everything that functions print: logs, metrics, standard error, and the logs of libraries."""

    logs: Callable[[], str]
    capsys: pytest.CaptureFixture[str]
    caplog: pytest.LogCaptureFixture
    read: int = 0

    def new(self) -> str:
        """The output since the last call."""
        form = logging.Formatter()
        others = [form.format(record) for record in self.caplog.records if record.name != logger.name]
        self.caplog.clear()
        ours = self.logs()[self.read :]
        self.read += len(ours)
        return "\n".join([ours, *self.capsys.readouterr(), *others])

    def check(self, known: set[str], where: str) -> str:
        """Assert that the output since the last call has no secret in any usual spelling; return the output."""
        text = self.new()
        for secret in known:
            for spelling in {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret)}:
                # codes are short: an id may contain one by chance
                if spelling in text and (found := re.search(rf"(?<![0-9a-f]){re.escape(spelling)}(?![0-9a-f])", text)):
                    around = text[max(0, found.start() - 300) : found.end() + 50]
                    pytest.fail(f"{where}: {secret} in the log: {around}")
        return text


@pytest.fixture
def log(logs: Callable[[], str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Log:
    return Log(logs, capsys, caplog)


def drive(route: APIRoute, make: Callable[[], Sent]) -> set[str]:
    """Call a route in every way; return the secrets that were sent and received."""
    known: set[str] = set()
    for number in range(len(Sent(Client()).bodies(route))):
        sent = make()  # a new person: the call may sign them out
        body = sent.bodies(route)[number]
        path = route.path
        for parameter in route.dependant.path_params:
            kind = parameter.field_info.annotation
            path = path.replace(f"{{{parameter.name}}}", str(uuid4()) if kind is UUID else sent.values["backup_code"])
        query = {"token": sent.values["token"], "code": sent.values["code"], "email": sent.values["email"]}
        headers = {
            "referer": f"https://app.test/?token={sent.values['token']}",
            "user-agent": f"agent {sent.values['mfa_token']}",
            "x-anything": sent.values["password"],
        }
        for method in route.methods or ():
            for asked in (query, {}):  # most routes refuse a parameter that they do not know, and go no further
                answer = sent.client.call(method, path, body=body, query=dict(asked), headers=headers)
                known |= sent.secrets() | secrets_of(answer)
    return known


@pytest.mark.parametrize("person", PERSONS)
def test_no_route_logs_a_secret(person: str, people: People, log: Log, database: Database) -> None:
    for route in ROUTES:
        known = drive(route, getattr(people, person))
        for (payload,) in database.execute("delete from core.outbox returning payload"):
            known |= {value for value in leaves(payload) if len(value) > 40 or "@" in value}
        assert '"message":"request"' in log.check(known, route.path)


@pytest.mark.parametrize("person", PERSONS)
def test_no_route_logs_a_secret_in_an_unknown_error(
    person: str, people: People, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every route raises an error that quotes the whole request."""
    reached = set()

    async def fail(*, request: Any, body: Any = None, **_: Any) -> Any:
        route = request.scope["route"].path
        reached.add(route)
        told = {**request.query_params, **request.headers, **request.cookies}
        try:
            raise ValueError(f"{route}: {body!r}")
        except ValueError as error:
            error.add_note(json.dumps(told))
            raise RuntimeError("it failed for " + " and ".join(leaves(body) | set(told.values()))) from error

    monkeypatch.setattr(fastapi.routing, "solve_dependencies", fail)
    for route in ROUTES:
        known = drive(route, getattr(people, person))
        # a value with neither the name nor the form of a secret, as here in a header x-anything, cannot be recognised
        text = log.check({secret for secret in known if not secret.startswith("old ")}, route.path)
        assert "unexpected_error" in text
    assert reached == {route.path for route in ROUTES}


@pytest.mark.parametrize("person", ["nobody", "bearer"])
@pytest.mark.parametrize("statement", [1, 3])
def test_no_route_logs_a_secret_in_a_database_error(
    person: str, statement: int, people: People, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first or third statement of every request fails with an error that quotes its parameters."""
    count = 0
    monkeypatch.setattr(ratelimit, "consume", lambda now, **subjects: None)

    def failing(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Tx, sql: str, params: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == statement:
                raise RuntimeError(f"{sql} {params} " + " ".join(leaves(dict(params))))
            return method(self, sql, params, **options)

        return run

    def make() -> Sent:
        nonlocal count
        count = -100  # creating a person runs statements, too
        sent: Sent = getattr(people, person)()
        count = 0
        return sent

    access_tokens.key_cache.find("any")  # now cached
    for name in ("all", "maybe", "value", "run"):
        monkeypatch.setattr(Tx, name, failing(getattr(Tx, name)))
    text = ""
    for route in ROUTES:
        text += log.check(drive(route, make), route.path)
    assert "unexpected_error" in text


@pytest.mark.parametrize("entry_point", JOBS)
def test_no_job_logs_a_secret_in_what_it_raises(
    entry_point: str, people: People, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Lambda runtime prints every exception that leaves an entry point."""
    token, address = tokens.random(), "kari@people.test"

    def fail(*args: object, **kwargs: object) -> Any:
        raise RuntimeError(f"{token} for {address}: {{'password': '{PASSWORD}'}}")

    monkeypatch.setattr(db, "_transaction", fail)
    monkeypatch.setattr(aws, "client", fail)
    name, _, attribute = entry_point.rpartition(".")
    uploaded = {"detail": {"object": {"key": "uploads/x", "sequencer": "1"}}, "time": "2026-11-26T00:00:00Z"}
    record = {"messageId": "1", "body": json.dumps(uploaded)}
    event = {"email": address, "role": "admin", "Records": [record]}
    # A batch of events returns its failures. Jobs of several parts log them, and raise that there were some.
    parts = (
        "identity.jobs.nightly_handler",
        "challenges.jobs.nightly_handler",
        "notifications.jobs.housekeeping_handler",
    )
    raised: dict[str, type[Exception] | None] = dict.fromkeys(parts, RuntimeError)
    raised["proofs.jobs.verdicts_handler"] = None
    error = raised.get(entry_point, JobFailed)
    with nullcontext() if error is None else pytest.raises(error) as caught:
        getattr(import_module(name), attribute)(event, LambdaContext())
    if caught is not None:
        logging.getLogger("runtime").error("%s", caught.value)
    assert "[redacted] for k…@people.test" in log.check({token, address, PASSWORD}, entry_point)
