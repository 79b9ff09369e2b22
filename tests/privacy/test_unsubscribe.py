"""The link in reminders: it switches them off with one click, without a session, and nothing else does."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import boto3
import pytest

from chally import aws, clock
from notifications import unsubscribe
from notifications.jobs import outbox_handler, reminders_handler
from notifications.unsubscribe import Subscription, make_token, read_token
from tests.support.api import Client, LambdaContext, Response
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.environment import PUBLIC_URL
from tests.support.people import SignUp

KEY = b"a key of tests"
ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def deliver() -> None:
    outbox_handler({}, LambdaContext())


@pytest.fixture
def sends(cloud: None) -> Iterator[list[dict[str, Any]]]:
    """What SES is asked to send."""
    requests: list[dict[str, Any]] = []

    def record(params: dict[str, Any], **kwargs: object) -> None:
        requests.append(json.loads(params["body"]))

    events = aws.client("sesv2").meta.events
    events.register("before-call.sesv2.SendEmail", record)
    yield requests
    events.unregister("before-call.sesv2.SendEmail", record)


@pytest.fixture
def kari(person: SignUp) -> Client:
    client = person("kari", "Asia/Tokyo")
    client.post("/v1/challenges", challenge_body(clock.now()))
    return client


@pytest.fixture
def link(kari: Client, sends: list[dict[str, Any]], database: Database, at: Callable[[datetime], None]) -> str:
    """The link of kari's first reminder."""
    deliver()
    at(database.execute("select min(due_at) from notifications.reminders")[0][0])
    reminders_handler({}, LambdaContext())
    sends.clear()
    deliver()
    return headers(sends[-1])["List-Unsubscribe"].strip("<>")


def headers(request: dict[str, Any]) -> dict[str, str]:
    return {header["Name"]: header["Value"] for header in request["Content"]["Simple"]["Headers"]}


def token_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["token"][0]


def open_link(link: str) -> Response:
    return Client().get(unsubscribe.PATH, token=token_of(link))


def click(token: str) -> Response:
    """As a mail provider does: a form, no cookies, no session."""
    return Client().call("POST", unsubscribe.PATH, query={"token": token}, raw=ONE_CLICK.encode(), headers=FORM)


def wants_reminders(database: Database) -> bool:
    return bool(database.execute("select wants_reminders from identity.users where username = 'kari'")[0][0])


class TestHeaders:
    def test_a_reminder_has_the_headers_of_rfc_8058_and_the_link_in_its_text(
        self, link: str, sends: list[dict[str, Any]]
    ) -> None:
        found = headers(sends[-1])
        assert found["List-Unsubscribe-Post"] == ONE_CLICK
        assert link.startswith(f"{PUBLIC_URL}{unsubscribe.PATH}?token=")
        assert max(map(len, found.values())) < 870  # what SES allows
        assert f"\n{link}\n" in sends[-1]["Content"]["Simple"]["Body"]["Text"]["Data"]

    def test_mails_that_a_person_causes_cannot_be_switched_off(self, kari: Client, sends: list[dict[str, Any]]) -> None:
        kari.post("/v1/me/password", {"current_password": "long enough for us", "new": "four words in a row"})
        deliver()
        assert len(sends) == 2
        for request in sends:
            assert headers(request).keys() == {"X-Chally-Message-Id"}
            assert unsubscribe.PATH not in request["Content"]["Simple"]["Body"]["Text"]["Data"]


class TestLink:
    def test_opening_the_page_changes_nothing(self, link: str, database: Database) -> None:
        page = open_link(link)
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert '<form method="post">' in page.text
        assert "script" not in page.text
        assert "form-action 'self'" in page.headers["content-security-policy"]
        assert wants_reminders(database)

    def test_one_click_switches_reminders_off_and_says_how_to_switch_them_on(
        self, link: str, kari: Client, database: Database
    ) -> None:
        for _ in range(2):  # safe to repeat
            answer = click(token_of(link))
            assert answer.status == 200
            assert "Reminders are off" in answer.text
            assert "switch them on again" in answer.text
            assert not wants_reminders(database)
        actions = database.execute("select count(*) from core.audit where action = 'reminders_stopped_by_link'")
        assert actions == [(1,)]
        assert kari.patch("/v1/me", {"notifications": {"reminders": True}}).status == 200
        assert wants_reminders(database)

    @pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", ONE_CLICK.encode()])
    @pytest.mark.parametrize("headers", [FORM, {"content-type": "multipart/form-data; boundary=b"}, {}])
    def test_the_body_does_not_matter(self, link: str, database: Database, raw: bytes, headers: dict[str, str]) -> None:
        query: dict[str, object] = {"token": token_of(link)}
        assert Client().call("POST", unsubscribe.PATH, query=query, raw=raw, headers=headers).status == 200
        assert not wants_reminders(database)

    def test_nothing_but_reminders_is_switched_off(
        self, link: str, kari: Client, sends: list[dict[str, Any]], database: Database
    ) -> None:
        click(token_of(link))
        sends.clear()
        Client().post("/v1/auth/password/forgot", {"email": "kari@people.test"})
        deliver()
        assert len(sends) == 1

    def test_a_reminder_that_waits_in_the_outbox_is_not_sent(
        self, link: str, sends: list[dict[str, Any]], database: Database, mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        click(token_of(link))
        user_id = database.execute("select id from identity.users where username = 'kari'")[0][0]
        payload = {"template": "reminder", "user_id": str(user_id), "values": {}}
        database.execute(
            "insert into core.outbox (topic, payload) values ('mail', %(payload)s::jsonb)", payload=json.dumps(payload)
        )
        sends.clear()
        deliver()
        assert sends == []

    def test_the_link_works_after_its_key_was_replaced_and_stops_after_a_second_time(
        self, link: str, database: Database, boto3_session: boto3.Session
    ) -> None:
        from aws_lambda_powertools.utilities.parameters.constants import DEFAULT_PROVIDERS

        for title in ("Switch off reminders?", "This link is not valid"):
            aws.client("secretsmanager").put_secret_value(SecretId="unsubscribe", SecretString=uuid4().hex)
            for provider in DEFAULT_PROVIDERS.values():
                provider.clear_cache()
            assert title in open_link(link).text

    def test_wrong_links_are_refused_and_limited(self, link: str, database: Database) -> None:
        token = token_of(link)
        other = token.replace(re.split(r"\.", token)[1], uuid4().hex)
        unsigned = ("", "x", "\u00e9.a.b", "reminders." + "0" * 32, token.replace("reminders", "digests"))
        for wrong in (other, token[:-1], *unsigned):
            assert click(wrong).status == 400
        assert "not valid" in Client().get(unsubscribe.PATH).text
        assert "not valid" in Client().get(unsubscribe.PATH, token=token + "x" * 1000).text
        assert wants_reminders(database)
        database.execute("update core.limits set quantity = 1 where name = 'token_ip'")
        database.execute("update core.limits set per = 'account' where name = 'token_ip'")
        assert [click("x").status for _ in range(2)] == [400, 429]
        assert click(token).status == 200  # a mail provider follows many right ones

    def test_a_deleted_account_is_left_alone(self, link: str, kari: Client, database: Database) -> None:
        kari.delete("/v1/me", {"password": "long enough for us"})
        assert click(token_of(link)).status == 200


class TestToken:
    SUBSCRIPTION = Subscription(UUID(int=7), "reminders")

    def test_a_token_names_a_person_and_a_kind(self) -> None:
        assert read_token(make_token(KEY, self.SUBSCRIPTION), [b"another", KEY]) == self.SUBSCRIPTION
        assert read_token(make_token(KEY, self.SUBSCRIPTION), [b"another"]) is None
        assert read_token(make_token(KEY, self.SUBSCRIPTION), []) is None

    def test_no_other_spelling_of_a_token_is_valid(self) -> None:
        token = make_token(KEY, self.SUBSCRIPTION)
        for place in range(len(token)):
            changed = token[:place] + ("B" if token[place] == "A" else "A") + token[place + 1 :]
            assert read_token(changed, [KEY]) is None
            assert read_token(token[:place], [KEY]) is None
        assert read_token(token + "A", [KEY]) is None
