"""Changing the password and the address, with a link in a mail and when signed in."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from chally import clock
from identity import rules
from tests.support.api import Client, Response
from tests.support.database import Database
from tests.support.mailed_links import (
    NEW_PASSWORD,
    PASSWORD,
    Mails,
    audited_actions,
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


class TestReset:
    def test_a_reset_sets_the_password_and_ends_every_session(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        kari, ola = person("kari"), person("ola")
        refresh_token = log_in(PASSWORD).json["refresh_token"]
        request_link("password_reset")
        response = follow_link("password_reset", mailed_token(mails, "password_reset"))
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
        assert log_in(PASSWORD).code == "invalid_credentials"
        assert log_in(NEW_PASSWORD).status == 200
        notice = newest_mail(mails, "password_changed")
        assert notice == {"template": "password_changed", "user_id": kari.user["id"], "values": {}}
        assert "password_changed" in audited_actions(database)

    @pytest.mark.parametrize("weak", ["short", "password123", "kari kari kari", "kari@people.test!", "a" * 129])
    def test_a_weak_password_changes_nothing_and_keeps_the_link(self, person: SignUp, mails: Mails, weak: str) -> None:
        kari = person("kari")
        request_link("password_reset")
        token = mailed_token(mails, "password_reset")
        response = follow_link("password_reset", token, password=weak)
        assert response.status == 422
        assert [error["pointer"] for error in response.json["errors"]] == ["/password"]
        assert kari.get("/v1/me").status == 200
        assert log_in(PASSWORD).status == 200
        assert follow_link("password_reset", token).status == 204

    def test_a_reset_invalidates_all_other_links(self, person: SignUp, mails: Mails, database: Database) -> None:
        kari = person("kari")
        person("ola")
        kari.post("/v1/me/email", {"current_password": PASSWORD, "new": "new@people.test"})
        for email in ("kari@people.test", "ola@people.test"):
            request_link("magic_link", email)
        request_link("password_reset")
        assert follow_link("password_reset", mailed_token(mails, "password_reset")).status == 204
        assert follow_link("email_change", mailed_token(mails, "email_change")).code == "token_invalid"
        assert database.execute("select email from identity.mail_links") == [("ola@people.test",)]

    def test_a_reset_ends_a_sign_in_that_waits_for_its_second_factor(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        """Somebody has the old password and tries codes: the new password stops that as well."""
        turn_on_totp(database, person("kari"))
        mfa_token = log_in(PASSWORD).json["mfa_token"]
        request_link("password_reset")
        assert follow_link("password_reset", mailed_token(mails, "password_reset")).status == 204
        assert database.execute("select count(*) from identity.pending_sign_ins") == [(0,)]
        response = Client().post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": "000000"})
        assert response.status == 401

    def test_a_reset_does_not_bypass_the_second_factor(self, person: SignUp, mails: Mails, database: Database) -> None:
        turn_on_totp(database, person("kari"))
        request_link("password_reset")
        response = follow_link("password_reset", mailed_token(mails, "password_reset"))
        assert (response.status, response.cookies) == (204, ())
        assert log_in(NEW_PASSWORD).code == "mfa_required"


class TestGuessing:
    """Somebody has a device that is signed in, and tries passwords: each wait is longer, and the owner is told."""

    WAYS: tuple[tuple[str, str, Callable[[str], object]], ...] = (
        ("POST", "/v1/me/password", lambda password: {"current_password": password, "new": NEW_PASSWORD}),
        ("POST", "/v1/me/email", lambda password: {"current_password": password, "new": "new@people.test"}),
        ("POST", "/v1/me/step-up", lambda password: {"password": password}),
        ("DELETE", "/v1/me", lambda password: {"password": password}),
    )

    @pytest.fixture
    def guess(self, person: SignUp, database: Database, at: At) -> Callable[..., Response]:
        database.execute("update core.limits set quantity = 100000")
        kari = person("kari")
        at(clock.now())

        def attempt(way: int, password: str = "something else") -> Response:
            method, path, body = self.WAYS[way]
            return kari.call(method, path, body=body(password))

        return attempt

    def test_the_waits_grow_across_all_ways(self, guess: Callable[..., Response], at: At) -> None:
        now = clock.now()
        for number in range(1, 18):
            response = guess(number % 4)
            assert response.code == "invalid_credentials", response.text
            wait = rules.wait_after(number)
            if wait:
                for way in range(4):
                    refused = guess(way, PASSWORD)  # the right password as well, or a wait would stop nobody
                    assert (refused.status, refused.code) == (429, "password_locked")
                    assert refused.headers["retry-after"] == str(int(wait.total_seconds()))
                now += wait
                at(now)
        assert guess(2, PASSWORD).status == 204
        assert guess(2).code == "invalid_credentials"
        assert guess(2, PASSWORD).status == 204

    def test_the_owner_is_told(self, guess: Callable[..., Response], at: At, mails: Mails, database: Database) -> None:
        now = clock.now()
        told = []
        for number in range(1, 16):
            now += rules.wait_after(number - 1)
            at(now)
            assert guess(2).code == "invalid_credentials"
            told.append([mail["values"]["failures"] for mail in mails() if mail["template"] == "password_guessed"])
        assert told == [[]] * 4 + [["5"]] * 10 + [["5", "15"]]
        ((counts),) = database.execute(
            "select array_agg((detail ->> 'failures')::int order by id) from core.audit"
            " where action = 'password_check_failed'"
        )
        assert counts == (list(range(1, 16)),)

    def test_it_does_not_lock_the_owner_out(self, guess: Callable[..., Response], mails: Mails) -> None:
        """Neither at sign-in nor after a new password."""
        for _ in range(6):
            guess(2)
        assert guess(2, PASSWORD).code == "password_locked"
        assert log_in(PASSWORD).status == 200
        assert guess(2, PASSWORD).code == "password_locked"
        request_link("password_reset")
        assert follow_link("password_reset", mailed_token(mails, "password_reset")).status == 204
        kari = Client(log_in(NEW_PASSWORD).json["access_token"])
        assert kari.post("/v1/me/step-up", {"password": NEW_PASSWORD}).status == 204


class TestChangePassword:
    def test_changing_the_password_requires_signing_in(self, nobody: Client, person: SignUp) -> None:
        kari = person("kari")
        body = {"current_password": PASSWORD, "new": NEW_PASSWORD}
        assert nobody.post("/v1/me/password", body).code == "unauthenticated"
        assert (
            person("ola").post("/v1/me/password", body | {"current_password": NEW_PASSWORD}).code
            == "invalid_credentials"
        )
        assert kari.post("/v1/me/password", body).status == 204
        assert log_in(PASSWORD, "ola").status == 200  # the stranger's is unchanged

    def test_changing_the_password_ends_every_other_session(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        kari = person("kari")
        other = log_in(PASSWORD).json
        response = kari.post("/v1/me/password", {"current_password": PASSWORD, "new": NEW_PASSWORD})
        assert (response.status, response.text) == (204, "")
        assert kari.get("/v1/me").status == 200
        assert Client(other["access_token"]).get("/v1/me").code == "session_ended"
        assert database.execute("select ended_reason from identity.sessions order by id") == [
            (None,),
            ("password_changed",),
        ]
        assert log_in(PASSWORD).code == "invalid_credentials"
        assert log_in(NEW_PASSWORD).status == 200
        assert newest_mail(mails, "password_changed")["user_id"] == kari.user["id"]
        assert "password_changed" in audited_actions(database)

    def test_a_wrong_current_password_changes_nothing_and_is_audited(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        kari = person("kari")
        sent = len(mails())
        response = kari.post("/v1/me/password", {"current_password": "something else", "new": NEW_PASSWORD})
        assert (response.status, response.code) == (401, "invalid_credentials")
        assert audited_actions(database)[-1] == "password_check_failed"
        assert len(mails()) == sent
        assert log_in(PASSWORD).status == 200

    def test_a_weak_new_password_changes_nothing(self, person: SignUp) -> None:
        kari = person("kari")
        response = kari.post("/v1/me/password", {"current_password": PASSWORD, "new": "kari@people.test"})
        assert response.status == 422
        assert [error["pointer"] for error in response.json["errors"]] == ["/new"]
        assert log_in(PASSWORD).status == 200

    def test_the_current_password_can_be_tried_five_times_a_minute(self, person: SignUp, at: At) -> None:
        """A thief of a device does not have the password, and must not find it out here."""
        kari, ola = person("kari"), person("ola")
        now = clock.now()
        at(now)
        for _ in range(5):
            wrong = kari.post("/v1/me/password", {"current_password": "something else", "new": NEW_PASSWORD})
            assert wrong.status == 401
        right = {"current_password": PASSWORD, "new": NEW_PASSWORD}
        refused = kari.post("/v1/me/password", right)
        assert (refused.status, refused.headers["retry-after"]) == (429, "12")
        assert kari.post("/v1/me/email", right | {"new": "new@people.test"}).status == 429
        assert ola.post("/v1/me/password", right).status == 204
        at(now + timedelta(seconds=12))
        assert kari.post("/v1/me/password", right).status == 204

    def test_an_ended_session_cannot_change_the_password(self, person: SignUp, database: Database) -> None:
        kari = person("kari")
        database.execute("update identity.sessions set ended_at = now(), ended_reason = 'signed_out'")
        body = {"current_password": PASSWORD, "new": NEW_PASSWORD}
        assert kari.post("/v1/me/password", body).code == "session_ended"
        assert kari.post("/v1/me/email", body | {"new": "new@people.test"}).code == "session_ended"
        assert log_in(PASSWORD).status == 200

    @pytest.mark.parametrize(
        "body", [{}, {"new": NEW_PASSWORD}, {"current_password": PASSWORD, "password": NEW_PASSWORD}]
    )
    def test_missing_fields_are_named(self, person: SignUp, body: dict[str, str]) -> None:
        assert person("kari").post("/v1/me/password", body).status == 422

    def test_changing_the_password_upgrades_an_imported_hash(self, person: SignUp, database: Database) -> None:
        import bcrypt

        kari = person("kari")
        former = bcrypt.hashpw(b"from long ago", bcrypt.gensalt(4)).decode()
        database.execute("update identity.users set password_hash = %(hash)s", hash=former)
        assert kari.post("/v1/me/password", {"current_password": "from long ago", "new": NEW_PASSWORD}).status == 204
        assert log_in(NEW_PASSWORD).status == 200


class TestChangeEmail:
    def change(self, client: Client, new: str, password: str = PASSWORD) -> Response:
        return client.post("/v1/me/email", {"current_password": password, "new": new})

    def test_a_new_address_takes_effect_with_the_link_in_its_mailbox(
        self, person: SignUp, mails: Mails, database: Database
    ) -> None:
        kari = person("kari")
        response = self.change(kari, "Kari@New.test")
        assert (response.status, response.text) == (204, "")
        mail = newest_mail(mails, "email_change")
        assert mail["to"] == "Kari@new.test"  # normalised as registering does
        assert mail["values"]["username"] == "kari"
        assert kari.get("/v1/me").json["email"] == "kari@people.test"  # unchanged so far

        confirmed = follow_link("email_change", mail["values"]["token"])
        assert (confirmed.status, confirmed.text) == (204, "")
        assert kari.get("/v1/me").json["email"] == "Kari@new.test"
        assert log_in(PASSWORD, "kari@new.test").status == 200
        assert log_in(PASSWORD, "kari@people.test").code == "invalid_credentials"
        notice = newest_mail(mails, "email_changed")
        assert notice == {"template": "email_changed", "to": "kari@people.test", "values": {"username": "kari"}}
        assert [action for action in audited_actions(database) if "email" in action] == [
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
            with record_statements() as executed:
                response = self.change(kari, new)
            ((links_after, sent_after),) = database.execute(count)
            return public_part(response), executed, links_after - links, sent_after - sent

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
        token = mailed_token(mails, "email_change")
        person("ola")
        assert follow_link("email_change", token).code == "token_invalid"
        assert kari.get("/v1/me").json["email"] == "kari@people.test"
        assert not any(mail["template"] == "email_changed" for mail in mails())

    def test_a_request_for_another_address_invalidates_the_first_link(self, person: SignUp, mails: Mails) -> None:
        kari = person("kari")
        self.change(kari, "first@people.test")
        first = mailed_token(mails, "email_change")
        self.change(kari, "second@people.test")
        assert follow_link("email_change", first).code == "token_invalid"
        assert follow_link("email_change", mailed_token(mails, "email_change")).status == 204
        assert kari.get("/v1/me").json["email"] == "second@people.test"

    def test_a_request_for_a_taken_address_invalidates_the_first_link_too(self, person: SignUp, mails: Mails) -> None:
        kari = person("kari")
        person("ola")
        self.change(kari, "first@people.test")
        self.change(kari, "ola@people.test")
        assert follow_link("email_change", mailed_token(mails, "email_change")).code == "token_invalid"

    def test_of_two_requests_for_one_address_the_first_confirmed_wins(self, person: SignUp, mails: Mails) -> None:
        kari, ola = person("kari"), person("ola")
        self.change(kari, "both@people.test")
        karis = mailed_token(mails, "email_change")
        self.change(ola, "both@people.test")
        assert follow_link("email_change", mailed_token(mails, "email_change")).status == 204
        assert follow_link("email_change", karis).code == "token_invalid"
        assert (ola.get("/v1/me").json["email"], kari.get("/v1/me").json["email"]) == (
            "both@people.test",
            "kari@people.test",
        )

    def test_the_spelling_of_ones_own_address_can_change(self, person: SignUp, mails: Mails) -> None:
        kari = person("kari")
        self.change(kari, "Kari@people.test")
        assert follow_link("email_change", mailed_token(mails, "email_change")).status == 204
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
        assert follow_link("email_change", mailed_token(mails, "email_change")).code == "token_invalid"

    @pytest.mark.parametrize("new", ["nobody", "", "a@b", "x" * 250 + "@b.test"])
    def test_a_malformed_new_address_is_refused_with_its_field(self, person: SignUp, new: str) -> None:
        response = self.change(person("kari"), new)
        assert [error["pointer"] for error in response.json["errors"]] == ["/new"]
