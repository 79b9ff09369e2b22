"""Stepping up a session: confirming one's identity for the calls that require it."""

from datetime import timedelta
from typing import Any

import pytest

from tests.support.api import Client
from tests.support.database import Database
from tests.support.passkeys import add_passkey, assertion
from tests.support.people import SignUp
from tests.support.totp_phone import Later, Phone, login, set_up, sign_in

PASSWORD = "long enough for us"


@pytest.fixture
def kari(later: Later, person: SignUp) -> Client:
    return person("kari")


def acts(database: Database, action: str) -> list[dict[str, Any]]:
    found = database.execute("select detail from core.audit where action = %(action)s order by id", action=action)
    return [detail for (detail,) in found]


class TestStepUp:
    @pytest.fixture
    def stale(self, kari: Client, later: Later) -> Client:
        """Kari, whose sign-in is too old."""
        later(timedelta(minutes=10, seconds=1))
        assert kari.post("/v1/me/totp").code == "step_up_required"
        return kari

    def test_stepping_up_requires_signing_in(self, nobody: Client) -> None:
        assert nobody.post("/v1/me/step-up", {"password": PASSWORD}).code == "unauthenticated"

    def test_a_password_steps_up_a_session(self, stale: Client, later: Later, database: Database) -> None:
        assert stale.post("/v1/me/step-up", {"password": PASSWORD}).status == 204
        later(timedelta(minutes=10))
        assert stale.post("/v1/me/totp").status == 200
        later(timedelta(seconds=1))
        assert stale.post("/v1/me/totp").code == "step_up_required"
        assert acts(database, "stepped_up") == [{"by": "password"}]
        assert database.execute("select second_factor from identity.sessions") == [(False,)]

    def test_a_wrong_password_does_not_step_up(self, stale: Client, database: Database) -> None:
        response = stale.post("/v1/me/step-up", {"password": "somebody else's"})
        assert (response.status, response.code) == (401, "invalid_credentials")
        assert stale.post("/v1/me/totp").code == "step_up_required"
        assert len(acts(database, "password_check_failed")) == 1

    def test_another_users_password_does_not_step_up(self, stale: Client, person: SignUp, database: Database) -> None:
        eve = person("eve")
        database.execute("update identity.users set password_hash = 'nobody''s' where id = %(eve)s", eve=eve.user["id"])
        assert eve.post("/v1/me/step-up", {"password": PASSWORD}).code == "invalid_credentials"

    def test_only_the_current_session_steps_up(self, nobody: Client, kari: Client, later: Later) -> None:
        other = Client(login(nobody, "kari").json["access_token"])
        later(timedelta(minutes=11))
        assert other.post("/v1/me/step-up", {"password": PASSWORD}).status == 204
        assert kari.post("/v1/me/totp").code == "step_up_required"

    def test_a_password_is_not_enough_with_a_second_factor(self, kari: Client, phone: Phone, later: Later) -> None:
        later(timedelta(minutes=10))
        for password in (PASSWORD, "a wrong one"):
            response = kari.post("/v1/me/step-up", {"password": password})
            assert (response.status, response.code) == (403, "second_factor_required")
            assert response.json["methods"] == ["code", "backup_code"]
        assert kari.delete("/v1/me/totp").code == "step_up_required"

    @pytest.mark.parametrize("method", ["code", "backup_code"])
    def test_a_second_factor_steps_up_a_session(
        self, nobody: Client, kari: Client, owned: tuple[Phone, list[str]], later: Later, method: str
    ) -> None:
        phone, backup_codes = owned
        later(timedelta(minutes=10))
        body = {method: phone.code() if method == "code" else backup_codes[0]}
        assert kari.post("/v1/me/step-up", body).status == 204
        assert kari.post("/v1/me/step-up", body).code == "second_factor_invalid"
        assert kari.delete("/v1/me/totp").status == 204
        assert login(nobody, "kari").status == 200

    def test_a_passkey_steps_up_a_session(self, nobody: Client, kari: Client, later: Later, database: Database) -> None:
        """It verifies its user and counts as both factors, even without an authenticator app."""
        passkey = add_passkey(kari)
        later(timedelta(minutes=11))
        assert kari.post("/v1/me/step-up", {"assertion": assertion(nobody, passkey)}).status == 204
        assert database.execute("select second_factor from identity.sessions") == [(True,)]
        assert kari.post("/v1/me/totp").status == 200

    def test_stepping_up_gives_a_session_that_raced_with_the_app_its_second_factor(
        self, kari: Client, phone: Phone, database: Database
    ) -> None:
        database.execute("update identity.sessions set second_factor = false")
        assert kari.delete("/v1/me/totp").code == "step_up_required"
        assert kari.post("/v1/me/step-up", {"code": phone.code()}).status == 204
        assert kari.delete("/v1/me/totp").status == 204

    def test_an_unconfirmed_app_does_not_step_up(self, kari: Client) -> None:
        phone = set_up(kari)
        assert kari.post("/v1/me/step-up", {"code": phone.code()}).code == "second_factor_invalid"
        assert kari.post("/v1/me/backup-codes", {"code": phone.code()}).code == "totp_off"

    def test_a_strangers_code_does_not_step_up(
        self, person: SignUp, kari: Client, phone: Phone, database: Database
    ) -> None:
        assert person("eve").post("/v1/me/step-up", {"code": phone.code()}).code == "second_factor_invalid"
        assert acts(database, "second_factor_failed") == [{"by": "code", "failures": 1}]

    @pytest.mark.parametrize("body", [{}, {"password": PASSWORD, "code": "123456"}, {"password": None}])
    def test_stepping_up_requires_exactly_one_field(self, kari: Client, body: dict[str, Any]) -> None:
        response = kari.post("/v1/me/step-up", body)
        assert response.status == 422
        assert response.json["errors"] == [
            {"pointer": "", "message": "Send exactly one of password, code, backup_code and assertion."}
        ]

    def test_guessing_passwords_is_rate_limited(self, kari: Client, later: Later) -> None:
        for _ in range(5):
            assert kari.post("/v1/me/step-up", {"password": "a wrong one"}).code == "invalid_credentials"
        refused = kari.post("/v1/me/step-up", {"password": PASSWORD})
        assert (refused.status, refused.headers["retry-after"]) == (429, "12")

    def test_guessing_codes_is_rate_limited_across_all_routes(self, kari: Client, phone: Phone, later: Later) -> None:
        later(timedelta(hours=1))
        for _ in range(5):
            assert kari.post("/v1/me/step-up", {"code": phone.wrong_code()}).status == 401
            assert kari.delete("/v1/me/totp", {"code": phone.wrong_code()}).status == 401
        assert kari.post("/v1/me/step-up", {"code": phone.code()}).status == 429
        assert kari.delete("/v1/me/totp", {"code": phone.code()}).status == 429

    def test_guessing_at_sign_in_does_not_lock_the_owner_out_of_their_session(
        self, nobody: Client, kari: Client, phone: Phone, later: Later
    ) -> None:
        later(timedelta(hours=1))
        mfa_token = sign_in(nobody, "kari")
        for _ in range(11):
            guess = nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": phone.wrong_code()})
        assert guess.status == 429
        assert kari.post("/v1/me/step-up", {"code": phone.code()}).status == 204

    def test_an_ended_session_consumes_no_rate_limit(self, nobody: Client, kari: Client, phone: Phone) -> None:
        thief = Client(
            nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "kari"), "code": phone.code()}).json[
                "access_token"
            ]
        )
        for session in kari.get("/v1/me/sessions").json["items"]:
            if not session["current"]:
                assert kari.delete(f"/v1/me/sessions/{session['id']}").status == 204
        for _ in range(10):
            assert thief.post("/v1/me/step-up", {"code": phone.wrong_code()}).code == "session_ended"
        assert kari.post("/v1/me/step-up", {"code": phone.wrong_code()}).code == "second_factor_invalid"
