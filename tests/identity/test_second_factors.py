"""Signing in with a second factor, and what one protects."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.api import Client
from tests.support.database import Database
from tests.support.passkeys import add_passkey, assertion
from tests.support.people import SignUp
from tests.support.totp_phone import STEP, Later, Phone, login, sign_in, turn_on

PASSWORD = "long enough for us"


@pytest.fixture
def kari(later: Later, person: SignUp) -> Client:
    return person("kari")


def acts(database: Database, action: str) -> list[dict[str, Any]]:
    found = database.execute("select detail from core.audit where action = %(action)s order by id", action=action)
    return [detail for (detail,) in found]


class TestMfa:
    def test_a_code_completes_a_sign_in(self, nobody: Client, kari: Client, phone: Phone, database: Database) -> None:
        session = nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "kari"), "code": phone.code()})
        assert session.status == 200
        assert session.json["user"]["id"] == kari.user["id"]
        signed_in = Client(session.json["access_token"])
        assert signed_in.get("/v1/me").json["username"] == "kari"
        assert nobody.post("/v1/auth/refresh", {"refresh_token": session.json["refresh_token"]}).status == 200
        newest = database.execute("select second_factor from identity.sessions order by id desc limit 1")
        assert newest == [(True,)]
        assert acts(database, "signed_in")[-1] == {"by": "code"}

    def test_a_second_factor_can_set_cookies(self, nobody: Client, phone: Phone) -> None:
        body = {"mfa_token": sign_in(nobody, "kari"), "code": phone.code()}
        session = nobody.post("/v1/auth/mfa", body, x_session_transport="cookie")
        assert session.status == 200
        assert "access_token" not in session.json
        assert nobody.get("/v1/me").json["username"] == "kari"

    @pytest.mark.parametrize(("drift", "good"), [(-2, False), (0, True), (1, True), (2, False)])
    def test_a_code_may_be_one_step_off(self, nobody: Client, phone: Phone, drift: int, good: bool) -> None:
        body = {"mfa_token": sign_in(nobody, "kari"), "code": phone.code(drift)}
        response = nobody.post("/v1/auth/mfa", body)
        assert response.status == (200 if good else 401)
        if not good:
            assert response.code == "second_factor_invalid"
            assert "clock" in response.json["detail"]

    def test_a_code_works_once(self, nobody: Client, phone: Phone, later: Later) -> None:
        """Somebody who has the password and saw the code comes within the same half minute."""
        code = phone.code()
        assert nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "kari"), "code": code}).status == 200
        thief = {"mfa_token": sign_in(nobody, "kari"), "code": code}
        assert nobody.post("/v1/auth/mfa", thief).code == "second_factor_invalid"
        later(STEP)
        assert nobody.post("/v1/auth/mfa", thief).code == "second_factor_invalid"
        assert nobody.post("/v1/auth/mfa", thief | {"code": phone.code()}).status == 200

    def test_a_wrong_code_may_be_corrected(self, nobody: Client, phone: Phone, database: Database) -> None:
        """Only success consumes the mfa_token, but the failure is audited."""
        mfa_token = sign_in(nobody, "kari")
        for _ in range(2):
            wrong = nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": phone.wrong_code()})
            assert (wrong.status, wrong.code) == (401, "second_factor_invalid")
        assert acts(database, "second_factor_failed") == [{"by": "code", "failures": 1}, {"by": "code", "failures": 2}]
        assert nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": phone.code()}).status == 200

    def test_the_owner_is_told_when_somebody_with_the_password_guesses_codes(
        self, nobody: Client, kari: Client, phone: Phone, later: Later, mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        def guess(code: Callable[[], str], status: int = 401) -> list[dict[str, Any]]:
            later(timedelta(minutes=10))
            mfa_token = sign_in(nobody, "kari")
            assert nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": code()}).status == status
            return [mail for mail in mails() if mail["template"] == "second_factor_guessed"]

        assert [guess(phone.wrong_code) for _ in range(4)] == [[]] * 4
        guess(phone.code, 200)  # the owner's own sign-in begins the count again
        assert [len(guess(phone.wrong_code)) for _ in range(5)] == [0, 0, 0, 0, 1]
        assert guess(phone.wrong_code) == [
            {"template": "second_factor_guessed", "user_id": kari.user["id"], "values": {"failures": "5"}}
        ]

    def test_an_mfa_token_works_once(self, nobody: Client, phone: Phone, later: Later) -> None:
        mfa_token = sign_in(nobody, "kari")
        assert nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": phone.code()}).status == 200
        later(STEP)
        again = nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": phone.code()})
        assert (again.status, again.code) == (401, "mfa_token_invalid")

    def test_an_mfa_token_expires(self, nobody: Client, phone: Phone, later: Later) -> None:
        mfa_token = sign_in(nobody, "kari")
        later(timedelta(minutes=10))
        response = nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": phone.code()})
        assert response.code == "mfa_token_invalid"

    @pytest.mark.parametrize("mfa_token", ["unknown", "\0", "' or true --"])
    def test_an_unknown_mfa_token_is_refused(self, nobody: Client, phone: Phone, mfa_token: str) -> None:
        response = nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": phone.code()})
        assert (response.status, response.code) == (401, "mfa_token_invalid")

    def test_an_mfa_token_gives_no_other_access(self, nobody: Client, phone: Phone) -> None:
        mfa_token = sign_in(nobody, "kari")
        assert Client(mfa_token).get("/v1/me").code == "unauthenticated"
        assert Client(mfa_token).post("/v1/me/step-up", {"code": phone.code()}).code == "unauthenticated"
        assert nobody.post("/v1/auth/refresh", {"refresh_token": mfa_token}).code == "refresh_invalid"
        assert nobody.post("/v1/auth/verify-email", {"token": mfa_token}).code == "token_invalid"

    def test_an_mfa_token_accepts_its_own_users_factors_only(
        self, nobody: Client, phone: Phone, person: SignUp, later: Later
    ) -> None:
        eves, eves_backup_codes = turn_on(person("eve"), later)
        karis = sign_in(nobody, "kari")
        for factor in ({"code": eves.code()}, {"backup_code": eves_backup_codes[0]}):
            assert nobody.post("/v1/auth/mfa", {"mfa_token": karis} | factor).code == "second_factor_invalid"
        response = nobody.post("/v1/auth/mfa", {"mfa_token": karis, "code": phone.code()})
        assert response.json["user"]["username"] == "kari"

    @pytest.mark.parametrize(
        "factors",
        [
            {},
            {"code": "123456", "backup_code": "00000-00000"},
            {"code": "123456", "assertion": {}},
            {"code": None, "backup_code": None},
            {"backup_code": "00000-00000", "assertion": {}},
        ],
    )
    def test_exactly_one_factor_is_required(self, nobody: Client, factors: dict[str, Any]) -> None:
        response = nobody.post("/v1/auth/mfa", {"mfa_token": "x"} | factors)
        assert response.status == 422
        assert response.json["errors"] == [
            {"pointer": "", "message": "Send exactly one of code, backup_code and assertion."}
        ]

    def test_a_password_is_no_second_factor(self, nobody: Client, phone: Phone) -> None:
        response = nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "kari"), "password": PASSWORD})
        assert response.status == 422

    def test_guessing_is_rate_limited(self, nobody: Client, phone: Phone, later: Later) -> None:
        """Ten guesses an hour, from any network and with any number of tokens: three in a million codes are right."""
        later(timedelta(hours=1))
        for attempt in range(10):
            guess = {"mfa_token": sign_in(nobody, "kari"), "code": phone.wrong_code()}
            assert Client(ip=f"198.51.100.{attempt}").post("/v1/auth/mfa", guess).code == "second_factor_invalid"
            later(timedelta(seconds=20))  # slower than the password's own limits
        refused = nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "kari"), "code": phone.code()})
        assert (refused.status, refused.code) == (429, "rate_limited")
        wait = int(refused.headers["retry-after"])
        later(timedelta(seconds=wait - 1))
        early = nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "kari"), "code": phone.code()})
        assert early.status == 429
        later(timedelta(seconds=1))
        in_time = nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "kari"), "code": phone.code()})
        assert in_time.status == 200

    def test_guessing_does_not_limit_other_users(
        self, nobody: Client, phone: Phone, person: SignUp, later: Later
    ) -> None:
        eves, _ = turn_on(person("eve"), later)
        mfa_token = sign_in(nobody, "kari")
        for _ in range(10):
            nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": phone.wrong_code()})
        assert nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": phone.code()}).status == 429
        eve = nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "eve"), "code": eves.code()})
        assert eve.status == 200

    def test_completing_a_sign_in_restores_a_deleted_account(
        self, nobody: Client, phone: Phone, database: Database
    ) -> None:
        database.execute("update identity.users set deleted_at = now()")
        mfa_token = sign_in(nobody, "kari")
        assert database.execute("select deleted_at is null from identity.users") == [(False,)]
        assert nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token, "code": phone.code()}).status == 200
        assert database.execute("select deleted_at is null from identity.users") == [(True,)]


class TestAssertion:
    def test_a_passkey_completes_a_sign_in(
        self, nobody: Client, kari: Client, phone: Phone, database: Database
    ) -> None:
        passkey = add_passkey(kari)
        response = login(nobody, "kari")
        assert response.json["methods"] == ["code", "backup_code", "assertion"]
        body = {"mfa_token": response.json["mfa_token"], "assertion": assertion(nobody, passkey)}
        assert nobody.post("/v1/auth/mfa", body).json["user"]["username"] == "kari"
        assert acts(database, "signed_in")[-1] == {"by": "passkey"}

    def test_another_users_passkey_is_refused(
        self, nobody: Client, phone: Phone, person: SignUp, database: Database
    ) -> None:
        """It is valid and would sign its owner in, but not here."""
        eves = add_passkey(person("eve"))
        body = {"mfa_token": sign_in(nobody, "kari"), "assertion": assertion(nobody, eves)}
        response = nobody.post("/v1/auth/mfa", body)
        assert (response.status, response.code) == (401, "passkey_invalid")
        assert acts(database, "second_factor_failed") == [{"by": "passkey", "failures": 1}]

    @pytest.mark.parametrize(
        ("lies", "why"), [({"origin": "https://evil.test"}, "origin"), ({"rp_id": "evil.test"}, "relying party")]
    )
    def test_a_passkey_of_another_origin_is_refused(
        self, nobody: Client, kari: Client, phone: Phone, lies: dict[str, Any], why: str
    ) -> None:
        passkey = add_passkey(kari)
        body = {"mfa_token": sign_in(nobody, "kari"), "assertion": assertion(nobody, passkey, **lies)}
        response = nobody.post("/v1/auth/mfa", body)
        assert (response.status, response.code) == (401, "passkey_invalid")
        assert why in response.json["detail"]

    def test_an_assertion_works_once(self, nobody: Client, kari: Client, phone: Phone) -> None:
        sent = assertion(nobody, add_passkey(kari))
        assert nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "kari"), "assertion": sent}).status == 200
        again = nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "kari"), "assertion": sent})
        assert again.code == "passkey_invalid"

    def test_a_refused_assertion_is_consumed_as_well(
        self, nobody: Client, kari: Client, phone: Phone, person: SignUp
    ) -> None:
        passkey = add_passkey(kari)
        turned_down = assertion(nobody, passkey)
        eve = person("eve")
        assert eve.post("/v1/me/step-up", {"assertion": turned_down}).code == "passkey_invalid"
        body = {"mfa_token": sign_in(nobody, "kari"), "assertion": turned_down}
        assert nobody.post("/v1/auth/mfa", body).code == "passkey_invalid"

    @pytest.mark.parametrize("sent", [{}, {"id": []}, {"response": {"clientDataJSON": {}}}])
    def test_a_malformed_assertion_is_refused(self, nobody: Client, phone: Phone, sent: dict[str, Any]) -> None:
        body = {"mfa_token": sign_in(nobody, "kari"), "assertion": sent}
        assert nobody.post("/v1/auth/mfa", body).code == "passkey_invalid"


def test_turning_the_app_on_ends_every_other_session(nobody: Client, kari: Client, later: Later) -> None:
    """They were started without a second factor, possibly not by the owner."""
    other = Client(login(nobody, "kari").json["access_token"])
    turn_on(kari, later)
    assert other.get("/v1/me").code == "session_ended"
    ended = [item for item in kari.get("/v1/me/sessions").json["items"] if item["ended_at"]]
    assert [item["ended_reason"] for item in ended] == ["second_factor_on"]


def test_a_session_without_the_second_factor_cannot_take_the_account_over(
    kari: Client, phone: Phone, database: Database
) -> None:
    database.execute("update identity.sessions set second_factor = false")
    for response in (
        kari.post("/v1/me/password", {"current_password": PASSWORD, "new": "another good one"}),
        kari.post("/v1/me/email", {"current_password": PASSWORD, "new": "thief@people.test"}),
        kari.post("/v1/me/passkeys/options"),
    ):
        assert response.code == "step_up_required"
    assert kari.post("/v1/me/step-up", {"code": phone.code()}).status == 204
    change = {"current_password": PASSWORD, "new": "another good one"}
    assert kari.post("/v1/me/password", change).status == 204


def test_users_see_whether_their_app_is_on(nobody: Client, kari: Client, person: SignUp, later: Later) -> None:
    assert nobody.get("/v1/me/totp").status == 401
    phone, codes = turn_on(kari, later)
    assert nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "kari"), "backup_code": codes[0]}).status == 200
    state = kari.get("/v1/me/totp").json
    assert (state["on"], state["backup_codes_left"]) == (True, 9)
    assert phone.secret not in str(state)
    assert person("ola").get("/v1/me/totp").json == {"on": False, "since": None, "backup_codes_left": 0}


def test_nothing_secret_is_stored_or_logged(
    nobody: Client, kari: Client, later: Later, database: Database, logs: Callable[[], str]
) -> None:
    """Uses everything once, with an idempotency key and with failures; then reads every row and every log line."""
    begun = kari.post("/v1/me/totp", idempotency_key="begin")
    phone = Phone(begun.json["secret"])
    secrets = [phone.secret, phone.code()]
    confirmed = kari.post("/v1/me/totp/confirm", {"code": phone.code()}, idempotency_key="confirm")
    backup_codes = confirmed.json["backup_codes"]
    later(STEP)
    for factor in ({"code": phone.code(+4)}, {"code": phone.code()}, {"backup_code": backup_codes[0]}):
        mfa_token = sign_in(nobody, "kari")
        nobody.post("/v1/auth/mfa", {"mfa_token": mfa_token} | factor)
        secrets += [mfa_token, *factor.values()]
    later(STEP)
    secrets.append(phone.code())
    made = kari.post("/v1/me/backup-codes", {"code": phone.code()}, idempotency_key="replace")
    for code in backup_codes + made.json["backup_codes"]:
        secrets += [code, code.replace("-", "")]
    assert kari.post("/v1/me/step-up", {"code": "12 34"}).status == 422
    assert kari.delete("/v1/me/totp", {"backup_code": "wrong-codes"}).status == 401

    written = logs()
    with psycopg.connect(database.url) as connection:
        tables = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname in ('core', 'identity')"
        ).fetchall()
        assert len(tables) > 10
        for table in tables:
            rows = connection.execute(sql.SQL("select to_jsonb(t) from {} t").format(sql.Identifier(*table)))
            written += json.dumps(rows.fetchall(), default=str)
    # hex, as Postgres prints bytes
    found = [secret for secret in secrets if secret in written or secret.encode().hex() in written]
    # six digits may be part of any number, so they are searched as words
    assert [secret for secret in found if not secret.isdigit() or f'"{secret}"' in written] == []
