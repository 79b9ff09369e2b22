"""Registering, confirming the address, signing in and out, and refreshing, as a client does it."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chally import clock
from identity.routes import handler
from tests.support.api import Client, LambdaContext, read_response, request_event
from tests.support.database import Database
from tests.support.people import SignUp

BODY = {
    "email": "kari@people.test",
    "username": "kari",
    "password": "correct horse battery",
    "timezone": "Europe/Oslo",
}
Mails = Callable[[], list[dict[str, Any]]]


class TestRegister:
    def test_registering_gets_the_same_response_for_new_and_known_addresses(
        self, nobody: Client, person: SignUp, mails: Mails
    ) -> None:
        person("kari")
        known = nobody.post("/v1/auth/register", BODY | {"username": "kari2"})
        new = nobody.post("/v1/auth/register", BODY | {"email": "new@people.test", "username": "newcomer"})
        volatile = {"x-request-id", "content-length"}
        assert (known.status, known.text) == (new.status, new.text) == (202, new.text)
        assert {k: v for k, v in known.headers.items() if k not in volatile} == {
            k: v for k, v in new.headers.items() if k not in volatile
        }
        assert [mail["template"] for mail in mails()][-2:] == ["account_exists", "verify_email"]

    def test_registering_does_not_reveal_that_a_name_and_an_address_are_one_account(
        self, nobody: Client, person: SignUp
    ) -> None:
        person("kari")
        assert nobody.post("/v1/auth/register", BODY).code == "username_taken"
        assert nobody.post("/v1/auth/register", BODY | {"email": "other@people.test"}).code == "username_taken"

    def test_registering_again_before_confirming_is_safe(self, nobody: Client, mails: Mails) -> None:
        assert nobody.post("/v1/auth/register", BODY).status == 202
        assert nobody.post("/v1/auth/register", BODY).status == 202
        first, second = (mail["values"]["token"] for mail in mails())
        assert nobody.post("/v1/auth/verify-email", {"token": first}).code == "token_invalid"
        assert nobody.post("/v1/auth/verify-email", {"token": second}).status == 200

    @pytest.mark.parametrize("followed", ["kari", "thief"])
    @pytest.mark.parametrize("thief_first", [True, False])
    def test_a_link_confirms_exactly_the_registration_it_was_sent_for(
        self, nobody: Client, mails: Mails, thief_first: bool, followed: str
    ) -> None:
        """Somebody else registers the same address with another name: neither registration replaces the other, the
        second mail tells of both, and whichever link is followed, the stranger's password does not count.
        """
        thief = BODY | {"username": "thief", "password": "another password"}
        for body in (thief, BODY) if thief_first else (BODY, thief):
            assert nobody.post("/v1/auth/register", body).status == 202
        assert [mail["values"].get("names") for mail in mails()] == [None, "kari and thief"]
        tokens = {mail["values"]["username"]: mail["values"]["token"] for mail in mails()}
        session = nobody.post("/v1/auth/verify-email", {"token": tokens[followed]})
        assert session.json["user"]["username"] == followed
        for token in tokens.values():
            assert nobody.post("/v1/auth/verify-email", {"token": token}).code == "token_invalid"
        for password in ("another password", BODY["password"]):
            login = {"login": "kari@people.test", "password": password}
            assert nobody.post("/v1/auth/login", login).code == "invalid_credentials"
        assert "no password is set" in session.json["notice"]
        unset = mails()[-1]
        assert (unset["template"], unset["user_id"]) == ("password_unset", session.json["user"]["id"])
        chosen = {"token": unset["values"]["token"], "password": "chosen by the owner"}
        assert nobody.post("/v1/auth/password/reset", chosen).status == 204
        assert nobody.post("/v1/auth/login", {"login": followed, "password": chosen["password"]}).status == 200

    @pytest.mark.parametrize("followed", [0, 1])
    def test_registering_twice_with_different_passwords_leaves_the_password_to_the_mailbox(
        self, nobody: Client, mails: Mails, followed: int
    ) -> None:
        """The same person or a stranger: that cannot be known. The mail and the response say that no password is set,
        and how to set one.
        """
        assert nobody.post("/v1/auth/register", BODY).status == 202
        assert nobody.post("/v1/auth/register", BODY | {"password": "a strangers password"}).status == 202
        session = nobody.post("/v1/auth/verify-email", {"token": mails()[followed]["values"]["token"]})
        assert session.status == 200
        assert "no password is set" in session.json["notice"]
        for password in (BODY["password"], "a strangers password"):
            read_response = nobody.post("/v1/auth/login", {"login": "kari", "password": password})
            assert read_response.code == "invalid_credentials"
        reset = mails()[-1]
        assert reset["template"] == "password_unset"
        chosen = {"token": reset["values"]["token"], "password": "chosen by the owner"}
        assert nobody.post("/v1/auth/password/reset", chosen).status == 204
        assert nobody.post("/v1/auth/login", {"login": "kari", "password": "chosen by the owner"}).status == 200

    def test_registering_again_with_the_same_password_keeps_it(self, nobody: Client, mails: Mails) -> None:
        """And another name: the password shows that it is the same person, who gets the newest name."""
        assert nobody.post("/v1/auth/register", BODY).status == 202
        assert nobody.post("/v1/auth/register", BODY | {"username": "kari_n"}).status == 202
        first, second = mails()
        assert "names" not in second["values"]
        assert nobody.post("/v1/auth/verify-email", {"token": first["values"]["token"]}).code == "token_invalid"
        session = nobody.post("/v1/auth/verify-email", {"token": second["values"]["token"]})
        assert (session.json["user"]["username"], "notice" in session.json) == ("kari_n", False)
        assert nobody.post("/v1/auth/login", {"login": "kari_n", "password": BODY["password"]}).status == 200

    def test_a_password_counts_once_the_other_registration_has_expired(
        self, nobody: Client, mails: Mails, at: Callable[[datetime], None]
    ) -> None:
        nobody.post("/v1/auth/register", BODY | {"username": "thief", "password": "another password"})
        at(clock.now() + timedelta(minutes=14))
        nobody.post("/v1/auth/register", BODY)
        at(clock.now() + timedelta(minutes=1))
        assert nobody.post("/v1/auth/verify-email", {"token": mails()[-1]["values"]["token"]}).status == 200
        assert nobody.post("/v1/auth/login", {"login": "kari", "password": BODY["password"]}).status == 200

    def test_addresses_that_python_and_postgres_lower_case_differently_are_refused(self, nobody: Client) -> None:
        read_response = nobody.post("/v1/auth/register", BODY | {"email": "\u0130gor@people.test"})
        assert [error["pointer"] for error in read_response.json["errors"]] == ["/email"]

    def test_an_unconfirmed_username_becomes_free_again(self, nobody: Client, at: Callable[[datetime], None]) -> None:
        nobody.post("/v1/auth/register", BODY)
        other = BODY | {"email": "other@people.test"}
        assert nobody.post("/v1/auth/register", other).code == "username_taken"
        at(clock.now() + timedelta(minutes=16))
        assert nobody.post("/v1/auth/register", other).status == 202

    def test_a_registration_leaves_the_same_traces_for_a_known_address(self, nobody: Client, person: SignUp) -> None:
        """At login, and for the requested username."""
        person("kari")
        for address in ("kari@people.test", "new@people.test"):
            name = f"probe_{address[:3]}"
            asked = BODY | {"email": address, "username": name, "password": "my own password"}
            assert nobody.post("/v1/auth/register", asked).status == 202
            for login in (name, address):
                read_response = nobody.post("/v1/auth/login", {"login": login, "password": "my own password"})
                assert read_response.code == "email_unverified"
            again = nobody.post("/v1/auth/register", asked | {"email": "mine@people.test"})
            assert again.code == "username_taken"

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"password": "short"}, "/password"),
            ({"password": "kari@people.test!"}, "/password"),
            ({"timezone": "CET"}, "/timezone"),
            ({"timezone": "Mars/Olympus"}, "/timezone"),
            ({"username": "a b"}, "/username"),
            ({"email": "nobody"}, "/email"),
            ({"admin": True}, "/admin"),
        ],
    )
    def test_an_invalid_registration_names_the_wrong_field(
        self, nobody: Client, change: dict[str, object], pointer: str
    ) -> None:
        read_response = nobody.post("/v1/auth/register", BODY | change)
        assert read_response.status == 422
        assert [error["pointer"] for error in read_response.json["errors"]] == [pointer]

    def test_a_nul_character_is_refused(self, nobody: Client) -> None:
        assert nobody.post("/v1/auth/login", {"login": "a\0b", "password": "x"}).status == 422


class TestVerify:
    def test_a_confirmation_token_works_once(self, nobody: Client, mails: Mails) -> None:
        nobody.post("/v1/auth/register", BODY)
        token = {"token": mails()[0]["values"]["token"]}
        session = nobody.post("/v1/auth/verify-email", token)
        assert session.json["user"]["email_verified"] is True
        assert nobody.post("/v1/auth/verify-email", token).code == "token_invalid"

    def test_a_confirmation_token_expires(self, nobody: Client, mails: Mails, at: Callable[[datetime], None]) -> None:
        nobody.post("/v1/auth/register", BODY)
        at(clock.now() + timedelta(minutes=15, seconds=1))
        token = {"token": mails()[0]["values"]["token"]}
        assert nobody.post("/v1/auth/verify-email", token).code == "token_invalid"

    def test_opening_the_link_does_not_consume_its_token(self, nobody: Client, mails: Mails) -> None:
        nobody.post("/v1/auth/register", BODY)
        token = mails()[0]["values"]["token"]
        page = nobody.get("/v1/auth/verify-email", token=token)
        assert page.status == 200
        assert token not in page.text
        assert "script-src 'nonce-" in page.headers["content-security-policy"]
        assert nobody.post("/v1/auth/verify-email", {"token": token}).status == 200


class TestLogin:
    def test_login_accepts_an_address_or_a_username_in_any_case(self, nobody: Client, person: SignUp) -> None:
        person("kari")
        for login in ("kari", "KARI", "Kari@People.test"):
            read_response = nobody.post("/v1/auth/login", {"login": login, "password": "long enough for us"})
            assert read_response.status == 200
            assert read_response.json["expires_in"] == 900
            assert read_response.json["token_type"] == "Bearer"

    def test_a_wrong_password_and_an_unknown_login_get_the_same_response(self, nobody: Client, person: SignUp) -> None:
        person("kari")
        wrong = nobody.post("/v1/auth/login", {"login": "kari", "password": "something else"})
        unknown = nobody.post("/v1/auth/login", {"login": "nobody", "password": "something else"})
        assert wrong.status == unknown.status == 401
        assert {k: v for k, v in wrong.json.items() if k != "request_id"} == {
            k: v for k, v in unknown.json.items() if k != "request_id"
        }

    def test_login_requires_a_confirmed_address(self, nobody: Client) -> None:
        nobody.post("/v1/auth/register", BODY)
        right = {"login": "kari", "password": BODY["password"]}
        assert nobody.post("/v1/auth/login", right).code == "email_unverified"
        wrong = right | {"password": "something else"}
        assert nobody.post("/v1/auth/login", wrong).code == "invalid_credentials"


class TestRefresh:
    @pytest.fixture
    def session(self, nobody: Client, person: SignUp) -> dict[str, Any]:
        person("kari")
        read_response = nobody.post("/v1/auth/login", {"login": "kari", "password": "long enough for us"})
        return dict(read_response.json)

    def refresh(self, nobody: Client, token: str) -> Any:
        return nobody.post("/v1/auth/refresh", {"refresh_token": token})

    def test_a_refresh_token_rotates(self, nobody: Client, session: dict[str, Any]) -> None:
        first = self.refresh(nobody, session["refresh_token"])
        assert first.status == 200
        assert first.json["refresh_token"] != session["refresh_token"]
        assert self.refresh(nobody, first.json["refresh_token"]).status == 200

    def test_parallel_tabs_and_lost_responses_converge(self, nobody: Client, session: dict[str, Any]) -> None:
        responses = [self.refresh(nobody, session["refresh_token"]) for _ in range(3)]
        assert [response.status for response in responses] == [200, 200, 200]
        assert len({read_response.json["refresh_token"] for read_response in responses}) == 1

    def test_a_copied_token_ends_the_session(
        self, nobody: Client, session: dict[str, Any], at: Callable[[datetime], None]
    ) -> None:
        child = self.refresh(nobody, session["refresh_token"]).json["refresh_token"]
        at(clock.now() + timedelta(seconds=11))
        assert self.refresh(nobody, session["refresh_token"]).code == "refresh_reused"
        assert self.refresh(nobody, child).code == "session_ended"

    def test_a_tab_that_waited_for_a_cold_start_is_not_signed_out(
        self, nobody: Client, session: dict[str, Any], at: Callable[[datetime], None]
    ) -> None:
        """Two requests reach the gateway together; the function serves the second one half a minute later."""
        together = clock.now()
        at(together)
        child = self.refresh(nobody, session["refresh_token"]).json["refresh_token"]
        at(together + timedelta(seconds=30))
        event = request_event("POST", "/v1/auth/refresh", {})
        event["requestContext"]["timeEpoch"] = int(together.timestamp() * 1000)
        event["headers"]["content-type"] = "application/json"
        event["body"] = json.dumps({"refresh_token": session["refresh_token"]})
        late = read_response(handler(event, LambdaContext()))
        assert late.status == 200
        assert late.json["refresh_token"] == child

    def test_a_grandparent_token_is_a_copy_at_once(self, nobody: Client, session: dict[str, Any]) -> None:
        child = self.refresh(nobody, session["refresh_token"]).json["refresh_token"]
        self.refresh(nobody, child)
        assert self.refresh(nobody, session["refresh_token"]).code == "refresh_reused"

    def test_a_refresh_token_expires_after_30_days_to_the_moment(
        self, nobody: Client, session: dict[str, Any], at: Callable[[datetime], None], database: Database
    ) -> None:
        ((began, expires),) = database.execute(
            "select s.created_at, t.expires_at from identity.refresh_tokens t"
            " join identity.sessions s on s.id = t.session_id order by s.created_at desc limit 1"
        )
        assert expires - began == timedelta(days=30)
        at(expires)
        assert self.refresh(nobody, session["refresh_token"]).code == "refresh_invalid"
        at(expires - timedelta(microseconds=1))
        assert self.refresh(nobody, session["refresh_token"]).status == 200

    @pytest.mark.parametrize("body", [None, {}, {"refresh_token": None}, {"refresh_token": "x" * 43}])
    def test_a_refresh_without_a_known_token_is_refused(self, nobody: Client, body: object) -> None:
        assert nobody.post("/v1/auth/refresh", body).code == "refresh_invalid"

    @pytest.mark.parametrize("token", ["", "x" * 201, 7, ["x"]])
    def test_a_malformed_refresh_token_is_refused(self, nobody: Client, token: object) -> None:
        assert nobody.post("/v1/auth/refresh", {"refresh_token": token}).status == 422

    def test_a_refresh_is_refused_once_the_account_is_gone(
        self, nobody: Client, session: dict[str, Any], database: Database
    ) -> None:
        database.execute("delete from identity.users")
        assert self.refresh(nobody, session["refresh_token"]).code == "refresh_invalid"


class TestSignOut:
    """With a refresh token in the body. For cookies, see test_cookies.py."""

    def sign_in(self, nobody: Client) -> dict[str, Any]:
        read_response = nobody.post("/v1/auth/login", {"login": "kari", "password": "long enough for us"})
        return dict(read_response.json)

    def is_signed_in(self, nobody: Client, session: dict[str, Any]) -> bool:
        got = Client(session["access_token"]).get("/v1/me")
        assert got.status == 200 or got.code == "session_ended"
        return got.status == 200

    def test_signing_out_ends_the_session_and_no_other(self, nobody: Client, person: SignUp) -> None:
        person("kari")
        phone, laptop = self.sign_in(nobody), self.sign_in(nobody)
        assert nobody.post("/v1/auth/logout", {"refresh_token": phone["refresh_token"]}).status == 204
        assert (self.is_signed_in(nobody, phone), self.is_signed_in(nobody, laptop)) == (False, True)
        again = nobody.post("/v1/auth/refresh", {"refresh_token": phone["refresh_token"]})
        assert again.code == "session_ended"
        assert nobody.post("/v1/auth/logout", {"refresh_token": phone["refresh_token"]}).status == 204

    def test_signing_out_everywhere_ends_all_sessions_of_the_user_only(self, nobody: Client, person: SignUp) -> None:
        person("kari")
        stranger = person("ola")
        phone, laptop = self.sign_in(nobody), self.sign_in(nobody)
        assert nobody.post("/v1/auth/logout-all", {"refresh_token": phone["refresh_token"]}).status == 204
        assert (self.is_signed_in(nobody, phone), self.is_signed_in(nobody, laptop)) == (False, False)
        assert stranger.get("/v1/me").status == 200

    def test_the_token_of_an_ended_session_ends_no_other_session(self, nobody: Client, person: SignUp) -> None:
        """A copy of it gave access to one session, never to all."""
        person("kari")
        phone, laptop = self.sign_in(nobody), self.sign_in(nobody)
        nobody.post("/v1/auth/logout", {"refresh_token": phone["refresh_token"]})
        assert nobody.post("/v1/auth/logout-all", {"refresh_token": phone["refresh_token"]}).status == 204
        assert self.is_signed_in(nobody, laptop)

    @pytest.mark.parametrize("body", [None, {}, {"refresh_token": "x" * 43}])
    def test_an_access_token_is_enough_to_sign_out_everywhere(
        self, nobody: Client, person: SignUp, body: object
    ) -> None:
        """Also with a refresh token that is unknown."""
        person("kari")
        phone, laptop = self.sign_in(nobody), self.sign_in(nobody)
        assert Client(phone["access_token"]).post("/v1/auth/logout-all", body).status == 204
        assert (self.is_signed_in(nobody, phone), self.is_signed_in(nobody, laptop)) == (False, False)

    def test_an_access_token_ends_its_own_session_beside_that_of_the_refresh_token(
        self, nobody: Client, person: SignUp
    ) -> None:
        person("kari")
        phone, laptop, tablet = self.sign_in(nobody), self.sign_in(nobody), self.sign_in(nobody)
        body = {"refresh_token": laptop["refresh_token"]}
        assert Client(phone["access_token"]).post("/v1/auth/logout", body).status == 204
        assert [self.is_signed_in(nobody, each) for each in (phone, laptop, tablet)] == [False, False, True]

    def test_an_access_token_of_an_ended_session_ends_no_other_session(self, nobody: Client, person: SignUp) -> None:
        person("kari")
        phone, laptop = self.sign_in(nobody), self.sign_in(nobody)
        for path in ("logout", "logout", "logout-all"):  # signing out again is no error
            assert Client(phone["access_token"]).post(f"/v1/auth/{path}").status == 204
        assert self.is_signed_in(nobody, laptop)

    def test_an_invalid_access_token_that_ends_nothing_is_an_error(self, nobody: Client, person: SignUp) -> None:
        """But an old one beside a valid refresh token is what a client has that was away for an hour."""
        person("kari")
        phone = self.sign_in(nobody)
        stale = Client("not.a.token")
        assert stale.post("/v1/auth/logout-all", {"refresh_token": "x" * 43}).code == "unauthenticated"
        assert stale.post("/v1/auth/logout-all", {"refresh_token": phone["refresh_token"]}).status == 204
        assert not self.is_signed_in(nobody, phone)

    def test_a_sign_out_is_audited_once(self, nobody: Client, person: SignUp, database: Database) -> None:
        kari = person("kari")
        phone, laptop = self.sign_in(nobody), self.sign_in(nobody)
        for _ in range(2):
            nobody.post("/v1/auth/logout", {"refresh_token": phone["refresh_token"]})
            nobody.post("/v1/auth/logout-all", {"refresh_token": laptop["refresh_token"]})
        rows = database.execute(
            "select action, user_id::text from core.audit where action like 'signed_out%%' order by id"
        )
        assert rows == [("signed_out", kari.user["id"]), ("signed_out_everywhere", kari.user["id"])]

    @pytest.mark.parametrize("path", ["logout", "logout-all"])
    def test_signing_out_does_not_reveal_whether_a_token_exists(self, nobody: Client, path: str) -> None:
        assert nobody.post(f"/v1/auth/{path}", {"refresh_token": "x" * 43}).status == 204
        assert nobody.post(f"/v1/auth/{path}").code == "refresh_invalid"


class TestMe:
    def test_reading_the_account_requires_a_token(self, nobody: Client) -> None:
        read_response = nobody.get("/v1/me")
        assert read_response.code == "unauthenticated"
        assert read_response.headers["www-authenticate"] == "Bearer"

    def test_the_account_shows_its_user(self, person: SignUp) -> None:
        kari = person("kari", "Europe/Oslo")
        for path in ("/v1/me", "/v1/auth/me"):
            me = kari.get(path)
            assert me.status == 200
            assert me.json | {"id": None, "created_at": None} == {
                "id": None,
                "created_at": None,
                "username": "kari",
                "email": "kari@people.test",
                "email_verified": True,
                "timezone": "Europe/Oslo",
                "role": "user",
                "notifications": {"reminders": True, "quiet_hours": None},
            }

    def test_a_token_is_refused_once_the_account_is_gone(self, person: SignUp, database: Database) -> None:
        kari = person("kari")
        database.execute("delete from identity.users")
        assert kari.get("/v1/me").status == 401
