"""Authenticator apps: the test vectors of the RFCs, clock drift, reused codes, turning one on and off."""

import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pyotp
import pytest
from cryptography.exceptions import InvalidTag

from chally import clock, db
from chally.db import Tx
from identity import totp
from identity.keyring import Keyring
from tests.support.api import Client
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.totp_phone import STEP, Later, Phone, login, set_up, sign_in, turn_on

Mails = Callable[[], list[dict[str, Any]]]
# "12345678901234567890", the secret of both RFCs
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
# RFC 6238, appendix B, SHA-1: eight digits, of which our six are the last.
RFC_6238 = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}
# RFC 4226, appendix D: the codes of the counters 0 to 9.
RFC_4226 = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]


class TestStep:
    @pytest.mark.parametrize(("second", "code"), list(RFC_6238.items()))
    def test_codes_match_the_vectors_of_rfc_6238(self, second: int, code: str) -> None:
        assert totp.step_of(SECRET, code[-6:], datetime.fromtimestamp(second, UTC)) == second // 30

    @pytest.mark.parametrize(("counter", "code"), list(enumerate(RFC_4226)))
    def test_codes_match_the_vectors_of_rfc_4226(self, counter: int, code: str) -> None:
        for second in (counter * 30, counter * 30 + 29):
            assert totp.step_of(SECRET, code, datetime.fromtimestamp(second, UTC)) == counter

    @pytest.mark.parametrize(("drift", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
    def test_a_clock_may_be_one_step_off(self, drift: int, good: bool) -> None:
        second = 1_800_000_000
        code = pyotp.TOTP(SECRET).at(second + drift * 30)
        expected = second // 30 + drift if good else None
        assert totp.step_of(SECRET, code, datetime.fromtimestamp(second, UTC)) == expected

    @pytest.mark.parametrize(
        "code", ["", "28708", "2870820", "287 082", "94287082", "\uff12\uff18\uff17\uff10\uff18\uff12"]
    )
    def test_only_six_digits_are_a_code(self, code: str) -> None:
        assert totp.step_of(SECRET, code, datetime.fromtimestamp(59, UTC)) is None


class TestOnce:
    @pytest.fixture
    def kari(self, later: Later, person: SignUp) -> Client:
        return person("kari")

    def test_one_of_two_concurrent_uses_is_accepted(
        self, kari: Client, later: Later, database: Database, keyring: Keyring
    ) -> None:
        """The second one arrives before the first commits: it has to wait, and then finds the step consumed."""
        phone, _ = turn_on(kari, later)
        code, user_id, now = phone.code(), UUID(kari.user["id"]), clock.now()
        accepted: list[bool] = []

        def accept(connection: psycopg.Connection[Any]) -> None:
            with connection.transaction():
                accepted.append(totp.verify(Tx(connection, None), user_id, code, keyring, now))

        with psycopg.connect(database.system) as first, psycopg.connect(database.system) as second:
            second_pid = second.info.backend_pid
            assert totp.verify(Tx(first, None), user_id, code, keyring, now)
            thread = threading.Thread(target=accept, args=(second,))
            thread.start()
            while not database.execute("select 1 from pg_locks where pid = %(pid)s and not granted", pid=second_pid):
                assert thread.is_alive(), f"it did not wait, and was answered {accepted}"
            first.commit()
            thread.join()
        assert accepted == [False]

    def test_a_later_code_invalidates_the_earlier_ones(self, kari: Client, later: Later, keyring: Keyring) -> None:
        phone, _ = turn_on(kari, later)
        user_id, now = UUID(kari.user["id"]), clock.now()
        with db.as_system("test") as tx:
            assert totp.verify(tx, user_id, phone.code(+1), keyring, now)
            assert not totp.verify(tx, user_id, phone.code(), keyring, now)
            assert not totp.verify(tx, user_id, phone.code(+1), keyring, now)

    def test_a_secret_copied_to_another_account_does_not_decrypt(
        self, kari: Client, person: SignUp, later: Later, database: Database, keyring: Keyring
    ) -> None:
        """An attacker who can write to the table, but has no keys, cannot replace somebody's phone with their own."""
        phone, _ = turn_on(kari, later)
        eve = person("eve")
        turn_on(eve, later)
        database.execute(
            "update identity.totp t set sealed_secret = kari.sealed_secret from identity.totp kari"
            " where kari.user_id = %(kari)s and t.user_id = %(eve)s",
            kari=kari.user["id"],
            eve=eve.user["id"],
        )
        with db.as_system("test") as tx, pytest.raises(InvalidTag):
            totp.verify(tx, UUID(eve.user["id"]), phone.code(), keyring, clock.now())


class TestTurningOn:
    def test_setting_up_returns_what_an_app_needs(self, person: SignUp) -> None:
        response = person("kari").post("/v1/me/totp").json
        assert len(response["secret"]) == 32  # base 32: 160 bits, as RFC 4226 recommends
        scanned = pyotp.parse_uri(response["otpauth_uri"])
        assert isinstance(scanned, pyotp.TOTP)
        assert (scanned.secret, scanned.issuer, scanned.name) == (response["secret"], "Chally", "kari")
        assert (scanned.digits, scanned.interval) == (6, 30)
        assert scanned.digest().name == "sha1"
        picture = ET.fromstring(response["qr"])
        assert picture.tag == "{http://www.w3.org/2000/svg}svg"
        assert {element.tag.rpartition("}")[2] for element in picture.iter()} == {"svg", "g", "path"}

    def test_setting_up_requires_signing_in(self, nobody: Client) -> None:
        for method, path in (
            ("POST", "/v1/me/totp"),
            ("POST", "/v1/me/totp/confirm"),
            ("DELETE", "/v1/me/totp"),
            ("POST", "/v1/me/backup-codes"),
        ):
            response = nobody.call(method, path, body={"code": "123456"} if path != "/v1/me/totp" else None)
            assert response.code == "unauthenticated", path

    def test_setting_up_requires_a_fresh_sign_in(self, person: SignUp, later: Later) -> None:
        kari = person("kari")
        later(timedelta(minutes=10, seconds=1))
        assert kari.post("/v1/me/totp").code == "step_up_required"

    def test_the_app_is_off_until_a_code_confirms_it(self, nobody: Client, person: SignUp, later: Later) -> None:
        kari = person("kari")
        phone = set_up(kari)
        assert login(nobody, "kari").status == 200
        response = kari.post("/v1/me/totp/confirm", {"code": phone.code()})
        assert response.status == 200
        assert len(response.json["backup_codes"]) == 10
        assert login(nobody, "kari").json["methods"] == ["code", "backup_code"]

    def test_confirming_gives_the_session_its_second_factor(
        self, person: SignUp, later: Later, database: Database
    ) -> None:
        kari = person("kari")
        later(timedelta(minutes=5))
        turn_on(kari, later)
        rows = database.execute("select second_factor, authenticated_at from identity.sessions")
        assert rows == [(True, clock.now() - STEP)]

    def test_setting_up_again_replaces_the_unconfirmed_secret(self, person: SignUp) -> None:
        kari = person("kari")
        lost, phone = set_up(kari), set_up(kari)
        assert lost.secret != phone.secret
        assert kari.post("/v1/me/totp/confirm", {"code": lost.code()}).code == "code_invalid"
        assert kari.post("/v1/me/totp/confirm", {"code": phone.code()}).status == 200

    def test_an_app_that_is_on_is_not_replaced(self, nobody: Client, person: SignUp, later: Later) -> None:
        """A finder of a signed-in browser must not replace the owner's phone with their own."""
        kari = person("kari")
        phone, _ = turn_on(kari, later)
        assert kari.post("/v1/me/totp").code == "totp_already_on"
        assert kari.post("/v1/me/totp/confirm", {"code": phone.code()}).code == "totp_already_on"
        mfa = {"mfa_token": sign_in(nobody, "kari"), "code": phone.code()}
        assert nobody.post("/v1/auth/mfa", mfa).status == 200

    @pytest.mark.parametrize("drift", [-2, +2])
    def test_a_wrong_clock_is_mentioned(self, person: SignUp, later: Later, drift: int) -> None:
        kari = person("kari")
        phone = set_up(kari)
        response = kari.post("/v1/me/totp/confirm", {"code": phone.code(drift)})
        assert (response.status, response.code) == (422, "code_invalid")
        (error,) = response.json["errors"]
        assert error["pointer"] == "/code"
        assert "clock" in error["message"]

    @pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "", 123456, None, "\ud800", "1" * 5000])
    def test_a_malformed_code_is_refused_with_its_field(self, person: SignUp, code: object) -> None:
        response = person("kari").post("/v1/me/totp/confirm", {"code": code})
        assert (response.status, response.code) == (422, "invalid")
        assert [error["pointer"] for error in response.json["errors"]] == ["/code"]

    def test_a_code_may_be_copied_as_the_app_shows_it(self, person: SignUp) -> None:
        kari = person("kari")
        code = set_up(kari).code()
        assert kari.post("/v1/me/totp/confirm", {"code": f" {code[:3]} {code[3:]}"}).status == 200

    def test_the_code_that_confirmed_the_app_does_not_sign_in(self, nobody: Client, person: SignUp) -> None:
        kari = person("kari")
        phone = set_up(kari)
        kari.post("/v1/me/totp/confirm", {"code": phone.code()})
        mfa = {"mfa_token": sign_in(nobody, "kari"), "code": phone.code()}
        assert nobody.post("/v1/auth/mfa", mfa).code == "second_factor_invalid"

    def test_nothing_can_be_confirmed_before_setting_up(self, person: SignUp) -> None:
        assert person("kari").post("/v1/me/totp/confirm", {"code": "123456"}).code == "totp_off"

    def test_a_stranger_cannot_confirm_the_app(self, nobody: Client, person: SignUp) -> None:
        phone = set_up(person("kari"))
        assert person("eve").post("/v1/me/totp/confirm", {"code": phone.code()}).code == "totp_off"
        assert login(nobody, "kari").status == login(nobody, "eve").status == 200

    def test_the_owner_gets_a_mail(self, person: SignUp, later: Later, mails: Mails, database: Database) -> None:
        kari = person("kari")
        turn_on(kari, later)
        mail = mails()[-1]
        assert (mail["template"], mail["user_id"]) == ("second_factor_changed", kari.user["id"])
        assert "turned on" in mail["values"]["change"]
        actions = [action for (action,) in database.execute("select action from core.audit order by id")]
        assert actions[-2:] == ["totp_on", "backup_codes_made"]

    def test_guessing_is_rate_limited(self, person: SignUp) -> None:
        kari = person("kari")
        phone = set_up(kari)
        for _ in range(10):
            assert kari.post("/v1/me/totp/confirm", {"code": phone.wrong_code()}).code == "code_invalid"
        assert kari.post("/v1/me/totp/confirm", {"code": phone.code()}).code == "rate_limited"


class TestTurningOff:
    @pytest.fixture
    def kari(self, later: Later, person: SignUp) -> Client:
        return person("kari")

    @pytest.fixture
    def phone(self, kari: Client, later: Later) -> Phone:
        return turn_on(kari, later)[0]

    def test_a_code_turns_the_app_off(
        self, nobody: Client, kari: Client, phone: Phone, mails: Mails, database: Database
    ) -> None:
        assert kari.delete("/v1/me/totp", {"code": phone.code()}).status == 204
        assert login(nobody, "kari").status == 200
        assert database.execute("select from identity.totp union all select from identity.backup_codes") == []
        assert "turned off" in mails()[-1]["values"]["change"]
        assert database.execute("select 1 from core.audit where action = 'totp_off'") == [(1,)]

    def test_a_backup_code_turns_the_app_off(self, nobody: Client, kari: Client, later: Later) -> None:
        _, backup_codes = turn_on(kari, later)
        later(timedelta(hours=1))  # no sign-in is fresh any more
        assert kari.delete("/v1/me/totp", {"backup_code": backup_codes[3]}).status == 204
        assert login(nobody, "kari").status == 200

    @pytest.mark.parametrize("body", [None, {}])
    def test_a_fresh_second_factor_turns_the_app_off(
        self, nobody: Client, kari: Client, phone: Phone, body: object
    ) -> None:
        assert kari.delete("/v1/me/totp", body).status == 204
        assert login(nobody, "kari").status == 200

    def test_an_old_second_factor_does_not_turn_the_app_off(
        self, nobody: Client, kari: Client, phone: Phone, later: Later
    ) -> None:
        later(timedelta(minutes=10))
        assert kari.delete("/v1/me/totp").code == "step_up_required"
        assert login(nobody, "kari").code == "mfa_required"

    @pytest.mark.parametrize("drift", [-2, -1, +2])
    def test_a_wrong_or_used_code_does_not_turn_the_app_off(
        self, nobody: Client, kari: Client, phone: Phone, drift: int, database: Database
    ) -> None:
        assert kari.delete("/v1/me/totp", {"code": phone.code(drift)}).code == "second_factor_invalid"
        assert login(nobody, "kari").code == "mfa_required"
        failed = database.execute("select detail from core.audit where action = 'second_factor_failed'")
        assert failed == [({"by": "code", "failures": 1},)]

    def test_another_users_code_does_not_turn_the_app_off(
        self, person: SignUp, kari: Client, phone: Phone, later: Later
    ) -> None:
        eves, _ = turn_on(person("eve"), later)
        assert kari.delete("/v1/me/totp", {"code": eves.code()}).code == "second_factor_invalid"

    def test_at_most_one_factor_is_accepted(self, kari: Client, phone: Phone) -> None:
        both = {"code": phone.code(), "backup_code": "00000-00000"}
        assert kari.delete("/v1/me/totp", both).status == 422

    def test_an_app_that_is_off_cannot_be_turned_off(self, person: SignUp) -> None:
        assert person("kari").delete("/v1/me/totp", {"code": "123456"}).code == "totp_off"

    def test_a_stranger_can_turn_off_only_their_own_app(
        self, nobody: Client, person: SignUp, kari: Client, phone: Phone
    ) -> None:
        assert person("eve").delete("/v1/me/totp", {"code": phone.code()}).code == "totp_off"
        assert login(nobody, "kari").code == "mfa_required"

    def test_turning_the_app_off_takes_the_second_factor_from_sessions(
        self, kari: Client, phone: Phone, database: Database
    ) -> None:
        """Rights that require one, such as an admin's, must end."""
        kari.delete("/v1/me/totp", {"code": phone.code()})
        assert database.execute("select second_factor from identity.sessions") == [(False,)]

    def test_another_app_can_be_set_up_afterwards(
        self, nobody: Client, kari: Client, phone: Phone, later: Later
    ) -> None:
        kari.delete("/v1/me/totp", {"code": phone.code()})
        new, _ = turn_on(kari, later)
        assert new.secret != phone.secret
        mfa = {"mfa_token": sign_in(nobody, "kari"), "code": new.code()}
        assert nobody.post("/v1/auth/mfa", mfa).status == 200
