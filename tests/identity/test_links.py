"""Links in mails: sign-in, password reset, address change, unlock. They are single-use and reveal no accounts."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chally import clock, db, settings
from identity import lockout
from identity.queries import users
from tests.support.api import Client
from tests.support.database import Database
from tests.support.mailed_links import (
    CONFIRM_PATHS,
    NEW_PASSWORD,
    PASSWORD,
    REQUEST_PATHS,
    Mails,
    follow_link,
    log_in,
    mailed_token,
    newest_mail,
    public_part,
    record_statements,
    request_link,
    turn_on_totp,
)
from tests.support.people import SignUp

At = Callable[[datetime], None]
EITHER_PURPOSE = pytest.mark.parametrize("purpose", REQUEST_PATHS)


class TestAsking:
    @EITHER_PURPOSE
    def test_a_request_leaves_the_same_traces_for_known_and_unknown_addresses(
        self, person: SignUp, database: Database, purpose: str
    ) -> None:
        person("kari")

        def rows() -> list[tuple[Any, ...]]:
            return database.execute(
                "select (select count(*) from identity.mail_links), (select count(*) from core.outbox),"
                " (select count(*) from core.audit), (select count(*) from core.rate_limits)"
            )

        def traces(email: str) -> tuple[object, ...]:
            (before,) = rows()
            with record_statements() as sent:
                response = request_link(purpose, email)
            (after,) = rows()
            assert response.status == 202
            return public_part(response), sent, [new - old for new, old in zip(after, before, strict=True)]

        known, unknown = traces("kari@people.test"), traces("nobody@people.test")
        assert known == unknown
        assert known[2][:3] == [1, 1, 1]  # type: ignore[index]
        assert traces("kari@people.test") == traces("nobody@people.test")  # also if an older link is replaced

    @EITHER_PURPOSE
    def test_a_request_mails_the_owner_and_nobody_else(self, person: SignUp, mails: Mails, purpose: str) -> None:
        kari = person("kari")
        request_link(purpose, "Kari@People.test")
        assert newest_mail(mails, purpose)["user_id"] == kari.user["id"]
        request_link(purpose, "nobody@people.test")
        assert newest_mail(mails, purpose)["user_id"] != kari.user["id"]
        assert follow_link(purpose, mailed_token(mails, purpose)).code == "token_invalid"

    @EITHER_PURPOSE
    def test_an_address_gets_three_links_an_hour_in_any_spelling(self, nobody: Client, at: At, purpose: str) -> None:
        now = clock.now()
        at(now)
        for email in ("kari@people.test", "KARI@people.test", "kari@PEOPLE.test"):
            assert request_link(purpose, email).status == 202
        refused = request_link(purpose, "Kari@People.Test")
        assert (refused.status, refused.headers["retry-after"]) == (429, "1200")
        assert request_link(purpose, "ola@people.test").status == 202
        at(now + timedelta(minutes=20))
        assert request_link(purpose).status == 202

    @EITHER_PURPOSE
    def test_a_network_requests_thirty_links_an_hour(
        self, nobody: Client, at: At, monkeypatch: pytest.MonkeyPatch, purpose: str
    ) -> None:
        monkeypatch.setenv("CHALLY_STAGE", "prod")
        settings.load.cache_clear()
        at(clock.now())
        got = [request_link(purpose, f"p{number}@people.test").status for number in range(31)]
        assert got == [202] * 30 + [429]
        elsewhere = Client(ip="198.51.100.1").post(REQUEST_PATHS[purpose], {"email": "p31@people.test"})
        assert elsewhere.status == 202

    @EITHER_PURPOSE
    @pytest.mark.parametrize("body", [{}, {"email": "nobody"}, {"email": "a@b.test", "x": 1}, {"email": "a\0@b.c"}])
    def test_a_malformed_address_is_refused_with_its_field(
        self, nobody: Client, purpose: str, body: dict[str, Any]
    ) -> None:
        assert nobody.post(REQUEST_PATHS[purpose], body).status == 422

    @EITHER_PURPOSE
    def test_tokens_are_not_stored(self, person: SignUp, mails: Mails, database: Database, purpose: str) -> None:
        person("kari")
        request_link(purpose)
        token = mailed_token(mails, purpose)
        ((link,),) = database.execute("select l::text from identity.mail_links l")
        assert token not in link
        assert token.encode().hex() not in link

    @EITHER_PURPOSE
    def test_neither_tokens_nor_addresses_are_logged(
        self, person: SignUp, mails: Mails, logs: Callable[[], str], purpose: str
    ) -> None:
        person("kari")
        request_link(purpose)
        token = mailed_token(mails, purpose)
        assert follow_link(purpose, token).status < 300
        assert token not in logs()
        assert "kari@people.test" not in logs()
        assert NEW_PASSWORD not in logs()


class TestEveryLink:
    """What holds for all four kinds."""

    @pytest.fixture(params=CONFIRM_PATHS)
    def purpose(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def send(self, person: SignUp, purpose: str, mails: Mails) -> Callable[[], str]:
        """Requests a link and returns its token."""
        kari = person("kari")
        sent: list[str] = []

        def mail() -> str:
            if purpose in REQUEST_PATHS:
                assert request_link(purpose).status == 202
            elif purpose == "email_change":
                body = {"current_password": PASSWORD, "new": f"kari{len(sent)}@other.test"}
                assert kari.post("/v1/me/email", body).status == 204
            else:
                with db.as_system("tests") as tx:
                    account = users.account_by_username(tx, "kari")
                    for _ in range(15):
                        lockout.record_failure(tx, "kari", account, clock.now())
            sent.append(mailed_token(mails, purpose))
            return sent[-1]

        return mail

    def test_a_link_works_once(self, send: Callable[[], str], purpose: str) -> None:
        token = send()
        assert follow_link(purpose, token).status in (200, 204)
        again = follow_link(purpose, token)
        assert (again.status, again.code) == (400, "token_invalid")

    def test_a_link_is_valid_for_fifteen_minutes(self, send: Callable[[], str], purpose: str, at: At) -> None:
        token = send()
        sent = clock.now()
        at(sent + timedelta(minutes=15, seconds=1))
        assert follow_link(purpose, token).code == "token_invalid"
        at(sent + timedelta(minutes=14, seconds=50))
        assert follow_link(purpose, token).status in (200, 204)

    def test_a_newer_link_replaces_the_older_one(self, send: Callable[[], str], purpose: str) -> None:
        older, newer = send(), send()
        assert older != newer
        assert follow_link(purpose, older).code == "token_invalid"
        assert follow_link(purpose, newer).status in (200, 204)

    def test_opening_a_link_does_not_consume_it(self, send: Callable[[], str], purpose: str) -> None:
        token = send()
        for _ in range(2):
            page = Client().get(CONFIRM_PATHS[purpose], token=token)
            assert page.status == 200
            assert token not in page.text
        assert follow_link(purpose, token).status in (200, 204)

    def test_a_link_serves_its_own_purpose_only(self, send: Callable[[], str], purpose: str) -> None:
        token = send()
        for other in CONFIRM_PATHS:
            if other != purpose:
                assert follow_link(other, token).code == "token_invalid"
        assert Client().post("/v1/auth/verify-email", {"token": token}).code == "token_invalid"
        assert follow_link(purpose, token).status in (200, 204)

    def test_a_change_of_password_invalidates_links(self, send: Callable[[], str], purpose: str) -> None:
        token = send()
        kari = Client(log_in(PASSWORD, "kari@people.test").json["access_token"])
        assert kari.post("/v1/me/password", {"current_password": PASSWORD, "new": NEW_PASSWORD}).status == 204
        assert follow_link(purpose, token).code == "token_invalid"

    def test_a_change_of_address_invalidates_links(self, send: Callable[[], str], purpose: str, mails: Mails) -> None:
        token = send()
        kari = Client(log_in(PASSWORD, "kari@people.test").json["access_token"])
        kari.post("/v1/me/email", {"current_password": PASSWORD, "new": "new@people.test"})
        assert follow_link("email_change", mailed_token(mails, "email_change")).status == 204
        assert follow_link(purpose, token).code == "token_invalid"

    @pytest.mark.parametrize("token", ["x", "é", "x" * 200])
    def test_an_unknown_token_is_refused(self, nobody: Client, purpose: str, token: str) -> None:
        assert follow_link(purpose, token).code == "token_invalid"

    @pytest.mark.parametrize("token", ["", "x" * 201, 7, None, "a\0b"])
    def test_a_malformed_token_is_refused(self, nobody: Client, purpose: str, token: Any) -> None:
        assert follow_link(purpose, token).status in (400, 422)
        assert (
            Client().post(CONFIRM_PATHS[purpose], {"token": "x", "password": NEW_PASSWORD, "next": "/"}).status == 422
        )


class TestMagicLink:
    def test_a_magic_link_signs_in(self, person: SignUp, mails: Mails, database: Database) -> None:
        kari = person("kari")
        request_link("magic_link")
        session = follow_link("magic_link", mailed_token(mails, "magic_link"))
        assert session.status == 200
        assert session.json["user"] == kari.user
        assert Client(session.json["access_token"]).get("/v1/me").status == 200
        refreshed = Client().post("/v1/auth/refresh", {"refresh_token": session.json["refresh_token"]})
        assert refreshed.status == 200
        assert database.execute("select action, detail->>'by' from core.audit order by id desc limit 1") == [
            ("signed_in", "magic_link")
        ]

    def test_a_magic_link_can_set_cookies(self, person: SignUp, mails: Mails) -> None:
        person("kari")
        request_link("magic_link")
        browser = Client(headers={"x-session-transport": "cookie"})
        session = browser.post(CONFIRM_PATHS["magic_link"], {"token": mailed_token(mails, "magic_link")})
        assert session.status == 200
        assert {"access_token", "refresh_token"}.isdisjoint(session.json)
        assert browser.get("/v1/me").json["username"] == "kari"

    def test_a_magic_link_waits_for_the_second_factor(self, person: SignUp, mails: Mails, database: Database) -> None:
        kari = person("kari")
        turn_on_totp(database, kari)
        request_link("magic_link")
        token = mailed_token(mails, "magic_link")
        response = follow_link("magic_link", token)
        assert (response.status, response.code) == (401, "mfa_required")
        assert response.json["mfa_token"]
        assert response.json["methods"] == ["code"]
        assert "access_token" not in response.text
        assert follow_link("magic_link", token).code == "token_invalid"  # used up nevertheless

    def test_a_magic_link_restores_a_deleted_account(self, person: SignUp, mails: Mails, database: Database) -> None:
        """The mailer finds no deleted accounts by id; this mail must reach their owners nevertheless."""
        person("kari")
        database.execute("update identity.users set deleted_at = now()")
        request_link("magic_link")
        mail = newest_mail(mails, "magic_link")
        assert mail["to"] == "kari@people.test"
        assert mail["values"]["username"] == "kari"
        assert follow_link("magic_link", mail["values"]["token"]).status == 200
        assert database.execute("select deleted_at from identity.users") == [(None,)]

    def test_a_magic_link_does_not_work_for_a_later_owner_of_the_address(self, person: SignUp, mails: Mails) -> None:
        """Requested while no account had the address: the link was never sent, and opens no later account."""
        ola = person("ola")
        request_link("magic_link", "later@people.test")
        token = mailed_token(mails, "magic_link")
        ola.post("/v1/me/email", {"current_password": PASSWORD, "new": "later@people.test"})
        assert follow_link("email_change", mailed_token(mails, "email_change")).status == 204
        assert follow_link("magic_link", token).code == "token_invalid"
