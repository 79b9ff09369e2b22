"""Links in mails: sign-in, password reset, address change, unlock. They are single-use and reveal no accounts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from chally import clock, db, settings
from identity import lockout
from identity.queries import users
from tests.support.api import Client, Response
from tests.support.database import Database
from tests.support.people import SignUp

PASSWORD = "long enough for us"
BETTER = "four words in a row"
Mails = Callable[[], list[dict[str, Any]]]
At = Callable[[datetime], None]
ASKS = {"magic_link": "/v1/auth/magic-link", "password_reset": "/v1/auth/password/forgot"}
ASKING = pytest.mark.parametrize("purpose", ASKS)
FOLLOWED = {
    "magic_link": "/v1/auth/magic-link/verify",
    "password_reset": "/v1/auth/password/reset",
    "email_change": "/v1/auth/email/confirm",
    "unlock": "/v1/auth/unlock",
}


def ask(purpose: str, email: str = "kari@people.test") -> Response:
    return Client().post(ASKS[purpose], {"email": email})


def follow(purpose: str, token: str, **more: object) -> Response:
    if purpose == "password_reset":
        more.setdefault("password", BETTER)
    return Client().post(FOLLOWED[purpose], {"token": token, **more})


def login(password: str, name: str = "kari") -> Response:
    return Client().post("/v1/auth/login", {"login": name, "password": password})


def newest(mails: Mails, template: str) -> dict[str, Any]:
    return next(mail for mail in reversed(mails()) if mail["template"] == template)


def token_of(mails: Mails, template: str) -> str:
    return str(newest(mails, template)["values"]["token"])


def actions(database: Database) -> list[str]:
    return [action for (action,) in database.execute("select action from core.audit order by id")]


def public(response: Response) -> tuple[int, str, dict[str, str]]:
    """The part of a response that must be the same for every caller."""
    return response.status, response.text, {name: v for name, v in response.headers.items() if name != "x-request-id"}


@contextmanager
def statements() -> Iterator[list[bytes]]:
    """Every statement sent meanwhile, without its values."""
    sent: list[bytes] = []
    execute = psycopg.Cursor.execute

    def recorded(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(query if isinstance(query, bytes) else str(query).encode())
        return execute(self, query, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", recorded)
        yield sent


class TestAsking:
    @ASKING
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
            with statements() as sent:
                response = ask(purpose, email)
            (after,) = rows()
            assert response.status == 202
            return public(response), sent, [new - old for new, old in zip(after, before, strict=True)]

        known, unknown = traces("kari@people.test"), traces("nobody@people.test")
        assert known == unknown
        assert known[2][:3] == [1, 1, 1]  # type: ignore[index]
        assert traces("kari@people.test") == traces("nobody@people.test")  # also if an older link is replaced

    @ASKING
    def test_a_request_mails_the_owner_and_nobody_else(self, person: SignUp, mails: Mails, purpose: str) -> None:
        kari = person("kari")
        ask(purpose, "Kari@People.test")
        assert newest(mails, purpose)["user_id"] == kari.user["id"]
        ask(purpose, "nobody@people.test")
        assert newest(mails, purpose)["user_id"] != kari.user["id"]
        assert follow(purpose, token_of(mails, purpose)).code == "token_invalid"

    @ASKING
    def test_an_address_gets_three_links_an_hour_in_any_spelling(self, nobody: Client, at: At, purpose: str) -> None:
        now = clock.now()
        at(now)
        for email in ("kari@people.test", "KARI@people.test", "kari@PEOPLE.test"):
            assert ask(purpose, email).status == 202
        refused = ask(purpose, "Kari@People.Test")
        assert (refused.status, refused.headers["retry-after"]) == (429, "1200")
        assert ask(purpose, "ola@people.test").status == 202
        at(now + timedelta(minutes=20))
        assert ask(purpose).status == 202

    @ASKING
    def test_a_network_requests_thirty_links_an_hour(
        self, nobody: Client, at: At, monkeypatch: pytest.MonkeyPatch, purpose: str
    ) -> None:
        monkeypatch.setenv("CHALLY_STAGE", "prod")
        settings.load.cache_clear()
        at(clock.now())
        got = [ask(purpose, f"p{number}@people.test").status for number in range(31)]
        assert got == [202] * 30 + [429]
        elsewhere = Client(ip="198.51.100.1").post(ASKS[purpose], {"email": "p31@people.test"})
        assert elsewhere.status == 202

    @ASKING
    @pytest.mark.parametrize("body", [{}, {"email": "nobody"}, {"email": "a@b.test", "x": 1}, {"email": "a\0@b.c"}])
    def test_a_malformed_address_is_refused_with_its_field(
        self, nobody: Client, purpose: str, body: dict[str, Any]
    ) -> None:
        assert nobody.post(ASKS[purpose], body).status == 422

    @ASKING
    def test_tokens_are_not_stored(self, person: SignUp, mails: Mails, database: Database, purpose: str) -> None:
        person("kari")
        ask(purpose)
        token = token_of(mails, purpose)
        ((link,),) = database.execute("select l::text from identity.mail_links l")
        assert token not in link
        assert token.encode().hex() not in link

    @ASKING
    def test_neither_tokens_nor_addresses_are_logged(
        self, person: SignUp, mails: Mails, logs: Callable[[], str], purpose: str
    ) -> None:
        person("kari")
        ask(purpose)
        token = token_of(mails, purpose)
        assert follow(purpose, token).status < 300
        assert token not in logs()
        assert "kari@people.test" not in logs()
        assert BETTER not in logs()


class TestEveryLink:
    """What holds for all four kinds."""

    @pytest.fixture(params=FOLLOWED)
    def purpose(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def send(self, person: SignUp, purpose: str, mails: Mails) -> Callable[[], str]:
        """Requests a link and returns its token."""
        kari = person("kari")
        sent: list[str] = []

        def mail() -> str:
            if purpose in ASKS:
                assert ask(purpose).status == 202
            elif purpose == "email_change":
                body = {"current_password": PASSWORD, "new": f"kari{len(sent)}@other.test"}
                assert kari.post("/v1/me/email", body).status == 204
            else:
                with db.as_system("tests") as tx:
                    account = users.account_by_username(tx, "kari")
                    for _ in range(15):
                        lockout.record_failure(tx, "kari", account, clock.now())
            sent.append(token_of(mails, purpose))
            return sent[-1]

        return mail

    def test_a_link_works_once(self, send: Callable[[], str], purpose: str) -> None:
        token = send()
        assert follow(purpose, token).status in (200, 204)
        again = follow(purpose, token)
        assert (again.status, again.code) == (400, "token_invalid")

    def test_a_link_is_valid_for_fifteen_minutes(self, send: Callable[[], str], purpose: str, at: At) -> None:
        token = send()
        sent = clock.now()
        at(sent + timedelta(minutes=15, seconds=1))
        assert follow(purpose, token).code == "token_invalid"
        at(sent + timedelta(minutes=14, seconds=50))
        assert follow(purpose, token).status in (200, 204)

    def test_a_newer_link_replaces_the_older_one(self, send: Callable[[], str], purpose: str) -> None:
        older, newer = send(), send()
        assert older != newer
        assert follow(purpose, older).code == "token_invalid"
        assert follow(purpose, newer).status in (200, 204)

    def test_opening_a_link_does_not_consume_it(self, send: Callable[[], str], purpose: str) -> None:
        token = send()
        for _ in range(2):
            page = Client().get(FOLLOWED[purpose], token=token)
            assert page.status == 200
            assert token not in page.text
        assert follow(purpose, token).status in (200, 204)

    def test_a_link_serves_its_own_purpose_only(self, send: Callable[[], str], purpose: str) -> None:
        token = send()
        for other in FOLLOWED:
            if other != purpose:
                assert follow(other, token).code == "token_invalid"
        assert Client().post("/v1/auth/verify-email", {"token": token}).code == "token_invalid"
        assert follow(purpose, token).status in (200, 204)

    def test_a_change_of_password_invalidates_links(self, send: Callable[[], str], purpose: str) -> None:
        token = send()
        kari = Client(login(PASSWORD, "kari@people.test").json["access_token"])
        assert kari.post("/v1/me/password", {"current_password": PASSWORD, "new": BETTER}).status == 204
        assert follow(purpose, token).code == "token_invalid"

    def test_a_change_of_address_invalidates_links(self, send: Callable[[], str], purpose: str, mails: Mails) -> None:
        token = send()
        kari = Client(login(PASSWORD, "kari@people.test").json["access_token"])
        kari.post("/v1/me/email", {"current_password": PASSWORD, "new": "new@people.test"})
        assert follow("email_change", token_of(mails, "email_change")).status == 204
        assert follow(purpose, token).code == "token_invalid"

    @pytest.mark.parametrize("token", ["x", "é", "x" * 200])
    def test_an_unknown_token_is_refused(self, nobody: Client, purpose: str, token: str) -> None:
        assert follow(purpose, token).code == "token_invalid"

    @pytest.mark.parametrize("token", ["", "x" * 201, 7, None, "a\0b"])
    def test_a_malformed_token_is_refused(self, nobody: Client, purpose: str, token: Any) -> None:
        assert follow(purpose, token).status in (400, 422)
        assert Client().post(FOLLOWED[purpose], {"token": "x", "password": BETTER, "next": "/"}).status == 422


class TestMagicLink:
    def test_a_magic_link_signs_in(self, person: SignUp, mails: Mails, database: Database) -> None:
        kari = person("kari")
        ask("magic_link")
        session = follow("magic_link", token_of(mails, "magic_link"))
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
        ask("magic_link")
        browser = Client(headers={"x-session-transport": "cookie"})
        session = browser.post(FOLLOWED["magic_link"], {"token": token_of(mails, "magic_link")})
        assert session.status == 200
        assert {"access_token", "refresh_token"}.isdisjoint(session.json)
        assert browser.get("/v1/me").json["username"] == "kari"

    def test_a_magic_link_waits_for_the_second_factor(self, person: SignUp, mails: Mails, database: Database) -> None:
        kari = person("kari")
        turn_on_totp(database, kari)
        ask("magic_link")
        token = token_of(mails, "magic_link")
        response = follow("magic_link", token)
        assert (response.status, response.code) == (401, "mfa_required")
        assert response.json["mfa_token"]
        assert response.json["methods"] == ["code"]
        assert "access_token" not in response.text
        assert follow("magic_link", token).code == "token_invalid"  # used up nevertheless

    def test_a_magic_link_restores_a_deleted_account(self, person: SignUp, mails: Mails, database: Database) -> None:
        """The mailer finds no deleted accounts by id; this mail must reach their owners nevertheless."""
        person("kari")
        database.execute("update identity.users set deleted_at = now()")
        ask("magic_link")
        mail = newest(mails, "magic_link")
        assert mail["to"] == "kari@people.test"
        assert mail["values"]["username"] == "kari"
        assert follow("magic_link", mail["values"]["token"]).status == 200
        assert database.execute("select deleted_at from identity.users") == [(None,)]

    def test_a_magic_link_does_not_work_for_a_later_owner_of_the_address(self, person: SignUp, mails: Mails) -> None:
        """Requested while no account had the address: the link was never sent, and opens no later account."""
        ola = person("ola")
        ask("magic_link", "later@people.test")
        token = token_of(mails, "magic_link")
        ola.post("/v1/me/email", {"current_password": PASSWORD, "new": "later@people.test"})
        assert follow("email_change", token_of(mails, "email_change")).status == 204
        assert follow("magic_link", token).code == "token_invalid"


class TestReset:
    def test_a_reset_sets_the_password_and_ends_every_session(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        kari, ola = person("kari"), person("ola")
        refresh_token = login(PASSWORD).json["refresh_token"]
        ask("password_reset")
        response = follow("password_reset", token_of(mails, "password_reset"))
        assert (response.status, response.text) == (204, "")
        assert kari.get("/v1/me").code == "session_ended"
        refreshed = Client().post("/v1/auth/refresh", {"refresh_token": refresh_token})
        assert refreshed.code == "session_ended"
        reasons = database.execute(
            "select distinct username, ended_reason from identity.sessions join identity.users u on u.id = user_id"
            " order by 1"
        )
        assert reasons == [("kari", "password_changed"), ("ola", None)]
        assert ola.get("/v1/me").status == 200
        assert login(PASSWORD).code == "invalid_credentials"
        assert login(BETTER).status == 200
        notice = newest(mails, "password_changed")
        assert notice == {"template": "password_changed", "user_id": kari.user["id"], "values": {}}
        assert "password_changed" in actions(database)

    @pytest.mark.parametrize("weak", ["short", "password123", "kari kari kari", "kari@people.test!", "a" * 129])
    def test_a_weak_password_changes_nothing_and_keeps_the_link(self, person: SignUp, mails: Mails, weak: str) -> None:
        kari = person("kari")
        ask("password_reset")
        token = token_of(mails, "password_reset")
        response = follow("password_reset", token, password=weak)
        assert response.status == 422
        assert [error["pointer"] for error in response.json["errors"]] == ["/password"]
        assert kari.get("/v1/me").status == 200
        assert login(PASSWORD).status == 200
        assert follow("password_reset", token).status == 204

    def test_a_reset_invalidates_all_other_links(self, person: SignUp, mails: Mails, database: Database) -> None:
        kari = person("kari")
        person("ola")
        kari.post("/v1/me/email", {"current_password": PASSWORD, "new": "new@people.test"})
        for email in ("kari@people.test", "ola@people.test"):
            ask("magic_link", email)
        ask("password_reset")
        assert follow("password_reset", token_of(mails, "password_reset")).status == 204
        assert follow("email_change", token_of(mails, "email_change")).code == "token_invalid"
        assert database.execute("select email from identity.mail_links") == [("ola@people.test",)]

    def test_a_reset_ends_a_sign_in_that_waits_for_its_second_factor(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        """Somebody has the old password and tries codes: the new password stops that as well."""
        turn_on_totp(database, person("kari"))
        mfa_token = login(PASSWORD).json["mfa_token"]
        ask("password_reset")
        assert follow("password_reset", token_of(mails, "password_reset")).status == 204
        assert database.execute("select count(*) from identity.pending_sign_ins") == [(0,)]
        response = Client().post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": "000000"})
        assert response.status == 401

    def test_a_reset_does_not_bypass_the_second_factor(self, person: SignUp, mails: Mails, database: Database) -> None:
        turn_on_totp(database, person("kari"))
        ask("password_reset")
        response = follow("password_reset", token_of(mails, "password_reset"))
        assert (response.status, response.cookies) == (204, ())
        assert login(BETTER).code == "mfa_required"


class TestChangePassword:
    def test_changing_the_password_requires_signing_in(self, nobody: Client, person: SignUp) -> None:
        kari = person("kari")
        body = {"current_password": PASSWORD, "new": BETTER}
        assert nobody.post("/v1/me/password", body).code == "unauthenticated"
        assert person("ola").post("/v1/me/password", body | {"current_password": BETTER}).code == "invalid_credentials"
        assert kari.post("/v1/me/password", body).status == 204
        assert login(PASSWORD, "ola").status == 200  # the stranger's is unchanged

    def test_changing_the_password_ends_every_other_session(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        kari = person("kari")
        other = login(PASSWORD).json
        response = kari.post("/v1/me/password", {"current_password": PASSWORD, "new": BETTER})
        assert (response.status, response.text) == (204, "")
        assert kari.get("/v1/me").status == 200
        assert Client(other["access_token"]).get("/v1/me").code == "session_ended"
        assert database.execute("select ended_reason from identity.sessions order by id") == [
            (None,),
            ("password_changed",),
        ]
        assert login(PASSWORD).code == "invalid_credentials"
        assert login(BETTER).status == 200
        assert newest(mails, "password_changed")["user_id"] == kari.user["id"]
        assert "password_changed" in actions(database)

    def test_a_wrong_current_password_changes_nothing_and_is_audited(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        kari = person("kari")
        sent = len(mails())
        response = kari.post("/v1/me/password", {"current_password": "something else", "new": BETTER})
        assert (response.status, response.code) == (401, "invalid_credentials")
        assert actions(database)[-1] == "password_check_failed"
        assert len(mails()) == sent
        assert login(PASSWORD).status == 200

    def test_a_weak_new_password_changes_nothing(self, person: SignUp) -> None:
        kari = person("kari")
        response = kari.post("/v1/me/password", {"current_password": PASSWORD, "new": "kari@people.test"})
        assert response.status == 422
        assert [error["pointer"] for error in response.json["errors"]] == ["/new"]
        assert login(PASSWORD).status == 200

    def test_the_current_password_can_be_tried_five_times_a_minute(self, person: SignUp, at: At) -> None:
        """A thief of a device does not have the password, and must not find it out here."""
        kari, ola = person("kari"), person("ola")
        now = clock.now()
        at(now)
        for _ in range(5):
            wrong = kari.post("/v1/me/password", {"current_password": "something else", "new": BETTER})
            assert wrong.status == 401
        right = {"current_password": PASSWORD, "new": BETTER}
        refused = kari.post("/v1/me/password", right)
        assert (refused.status, refused.headers["retry-after"]) == (429, "12")
        assert kari.post("/v1/me/email", right | {"new": "new@people.test"}).status == 429
        assert ola.post("/v1/me/password", right).status == 204
        at(now + timedelta(seconds=12))
        assert kari.post("/v1/me/password", right).status == 204

    def test_an_ended_session_cannot_change_the_password(self, person: SignUp, database: Database) -> None:
        kari = person("kari")
        database.execute("update identity.sessions set ended_at = now(), ended_reason = 'signed_out'")
        body = {"current_password": PASSWORD, "new": BETTER}
        assert kari.post("/v1/me/password", body).code == "session_ended"
        assert kari.post("/v1/me/email", body | {"new": "new@people.test"}).code == "session_ended"
        assert login(PASSWORD).status == 200

    @pytest.mark.parametrize("body", [{}, {"new": BETTER}, {"current_password": PASSWORD, "password": BETTER}])
    def test_missing_fields_are_named(self, person: SignUp, body: dict[str, str]) -> None:
        assert person("kari").post("/v1/me/password", body).status == 422

    def test_changing_the_password_upgrades_an_imported_hash(self, person: SignUp, database: Database) -> None:
        import bcrypt

        kari = person("kari")
        former = bcrypt.hashpw(b"from long ago", bcrypt.gensalt(4)).decode()
        database.execute("update identity.users set password_hash = %(hash)s", hash=former)
        assert kari.post("/v1/me/password", {"current_password": "from long ago", "new": BETTER}).status == 204
        assert login(BETTER).status == 200


class TestChangeEmail:
    def change(self, client: Client, new: str, password: str = PASSWORD) -> Response:
        return client.post("/v1/me/email", {"current_password": password, "new": new})

    def test_a_new_address_takes_effect_with_the_link_in_its_mailbox(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        kari = person("kari")
        response = self.change(kari, "Kari@New.test")
        assert (response.status, response.text) == (204, "")
        mail = newest(mails, "email_change")
        assert mail["to"] == "Kari@new.test"  # normalised as registering does
        assert mail["values"]["username"] == "kari"
        assert kari.get("/v1/me").json["email"] == "kari@people.test"  # unchanged so far

        confirmed = follow("email_change", mail["values"]["token"])
        assert (confirmed.status, confirmed.text) == (204, "")
        assert kari.get("/v1/me").json["email"] == "Kari@new.test"
        assert login(PASSWORD, "kari@new.test").status == 200
        assert login(PASSWORD, "kari@people.test").code == "invalid_credentials"
        notice = newest(mails, "email_changed")
        assert notice == {"template": "email_changed", "to": "kari@people.test", "values": {"username": "kari"}}
        assert [action for action in actions(database) if "email" in action] == [
            "email_change_requested",
            "email_changed",
        ]

    def test_changing_the_address_does_not_reveal_other_accounts(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        kari = person("kari")
        person("ola")

        def traces(new: str) -> tuple[object, ...]:
            count = "select (select count(*) from identity.mail_links), (select count(*) from core.outbox)"
            ((links, sent),) = database.execute(count)
            with statements() as executed:
                response = self.change(kari, new)
            ((links_after, sent_after),) = database.execute(count)
            return public(response), executed, links_after - links, sent_after - sent

        self.change(kari, "first@people.test")  # from here on, links are replaced
        free, taken = traces("free@people.test"), traces("OLA@people.test")
        assert free == taken
        mail = mails()[-1]
        assert mail == {"template": "account_exists", "to": "ola@people.test", "values": {"username": "ola"}}

    def test_a_link_cannot_take_another_accounts_address(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        """The link was sent while the address was free; somebody registered the address before it was followed."""
        kari = person("kari")
        self.change(kari, "ola@people.test")
        token = token_of(mails, "email_change")
        person("ola")
        assert follow("email_change", token).code == "token_invalid"
        assert kari.get("/v1/me").json["email"] == "kari@people.test"
        assert not any(mail["template"] == "email_changed" for mail in mails())

    def test_a_request_for_another_address_invalidates_the_first_link(self, person: SignUp, mails: Mails) -> None:
        kari = person("kari")
        self.change(kari, "first@people.test")
        first = token_of(mails, "email_change")
        self.change(kari, "second@people.test")
        assert follow("email_change", first).code == "token_invalid"
        assert follow("email_change", token_of(mails, "email_change")).status == 204
        assert kari.get("/v1/me").json["email"] == "second@people.test"

    def test_a_request_for_a_taken_address_invalidates_the_first_link_too(self, person: SignUp, mails: Mails) -> None:
        kari = person("kari")
        person("ola")
        self.change(kari, "first@people.test")
        self.change(kari, "ola@people.test")
        assert follow("email_change", token_of(mails, "email_change")).code == "token_invalid"

    def test_of_two_requests_for_one_address_the_first_confirmed_wins(self, person: SignUp, mails: Mails) -> None:
        kari, ola = person("kari"), person("ola")
        self.change(kari, "both@people.test")
        karis = token_of(mails, "email_change")
        self.change(ola, "both@people.test")
        assert follow("email_change", token_of(mails, "email_change")).status == 204
        assert follow("email_change", karis).code == "token_invalid"
        assert (ola.get("/v1/me").json["email"], kari.get("/v1/me").json["email"]) == (
            "both@people.test",
            "kari@people.test",
        )

    def test_the_spelling_of_ones_own_address_can_change(self, person: SignUp, mails: Mails) -> None:
        kari = person("kari")
        self.change(kari, "Kari@people.test")
        assert follow("email_change", token_of(mails, "email_change")).status == 204
        assert kari.get("/v1/me").json["email"] == "Kari@people.test"

    def test_a_wrong_password_changes_no_address(self, nobody: Client, person: SignUp, mails: Mails) -> None:
        kari = person("kari")
        sent = len(mails())
        assert self.change(nobody, "new@people.test").code == "unauthenticated"
        assert self.change(kari, "new@people.test", "something else").code == "invalid_credentials"
        assert len(mails()) == sent

    def test_an_account_requests_five_address_changes_an_hour(self, person: SignUp, at: At) -> None:
        """Nobody can fill strangers' mailboxes with our mails."""
        kari = person("kari")
        now = clock.now()
        for number in range(5):
            at(now + timedelta(minutes=number))
            assert self.change(kari, f"p{number}@people.test").status == 204
        refused = self.change(kari, "p5@people.test")
        assert (refused.status, refused.headers["retry-after"]) == (429, str(12 * 60 - 4 * 60))

    def test_a_deleted_account_cannot_change_its_address(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        self.change(person("kari"), "new@people.test")
        database.execute("update identity.users set deleted_at = now()")
        assert follow("email_change", token_of(mails, "email_change")).code == "token_invalid"

    @pytest.mark.parametrize("new", ["nobody", "", "a@b", "x" * 250 + "@b.test"])
    def test_a_malformed_new_address_is_refused_with_its_field(self, person: SignUp, new: str) -> None:
        response = self.change(person("kari"), new)
        assert [error["pointer"] for error in response.json["errors"]] == ["/new"]


def turn_on_totp(database: Database, client: Client) -> None:
    """Turns on an authenticator app whose codes are never needed."""
    database.execute(
        "insert into identity.totp (user_id, sealed_secret, created_at, confirmed_at)"
        " values (%(user_id)s, %(secret)s, now(), now())",
        user_id=client.user["id"],
        secret=uuid4().bytes,
    )
