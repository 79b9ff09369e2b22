"""Backup codes: ten single-use codes, replaced by newer ones."""

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from chally import clock
from chally.db import Tx
from identity import backup_codes
from identity.keyring import Keyring
from tests.support.api import Client, Response
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.totp_phone import Later, Phone, sign_in, turn_on

Mails = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def kari(later: Later, person: SignUp) -> Client:
    return person("kari")


@pytest.fixture
def codes(owned: tuple[Phone, list[str]]) -> list[str]:
    return owned[1]


def use(nobody: Client, code: str, *, username: str = "kari") -> Response:
    return nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, username), "backup_code": code})


class TestMaking:
    def test_ten_codes_are_generated_that_are_hard_to_guess_or_misread(self, codes: list[str]) -> None:
        assert len(set(codes)) == 10
        assert all(re.fullmatch(r"[0-9a-hjkmnp-tv-z]{5}-[0-9a-hjkmnp-tv-z]{5}", code) for code in codes)
        assert len(set(backup_codes.ALPHABET)) ** backup_codes.LENGTH >= 2**50
        assert not set("ilou") & set(backup_codes.ALPHABET)

    def test_codes_are_stored_as_keyed_hashes(self, codes: list[str], database: Database) -> None:
        """Fifty bits are few: a thief of the table must not be able to try them all."""
        rows = database.execute("select code_hash from identity.backup_codes")
        assert len(rows) == 10
        assert all(len(code_hash) == 32 for (code_hash,) in rows)


class TestUsing:
    @pytest.mark.parametrize(
        "typed",
        [
            str.upper,
            lambda code: code.replace("-", ""),
            lambda code: code.replace("-", " "),
            lambda code: code.replace("-", "\u2013"),
            lambda code: f"  {code}\n",
            lambda code: code.replace("0", "o").replace("1", "l"),
            lambda code: code.replace("0", "O").replace("1", "I"),
        ],
    )
    def test_a_code_is_accepted_in_any_spelling(
        self, nobody: Client, codes: list[str], typed: Callable[[str], str]
    ) -> None:
        code = next((code for code in codes if "0" in code or "1" in code), codes[0])
        assert use(nobody, typed(code)).status == 200

    def test_each_code_works_once(self, nobody: Client, codes: list[str], database: Database, later: Later) -> None:
        for code in codes[:2]:
            later(timedelta(minutes=1))
            assert use(nobody, code).status == 200
            assert use(nobody, code).code == "second_factor_invalid"
            assert use(nobody, code.upper()).code == "second_factor_invalid"
        used = database.execute("select 1 from core.audit where action = 'backup_code_used'")
        assert len(used) == 2

    def test_a_code_works_for_its_owner_only(
        self, nobody: Client, codes: list[str], person: SignUp, later: Later
    ) -> None:
        turn_on(person("eve"), later)
        assert use(nobody, codes[0], username="eve").code == "second_factor_invalid"
        assert use(nobody, codes[0]).status == 200

    def test_a_row_copied_to_another_account_is_useless(
        self, nobody: Client, kari: Client, codes: list[str], person: SignUp, later: Later, database: Database
    ) -> None:
        eve = person("eve")
        turn_on(eve, later)
        database.execute(
            "insert into identity.backup_codes (user_id, code_hash)"
            " select %(eve)s, code_hash from identity.backup_codes where user_id = %(kari)s",
            eve=eve.user["id"],
            kari=kari.user["id"],
        )
        assert use(nobody, codes[0], username="eve").code == "second_factor_invalid"

    def test_one_of_two_concurrent_uses_is_accepted(
        self, kari: Client, codes: list[str], database: Database, keyring: Keyring
    ) -> None:
        """The second one arrives before the first commits: it has to wait, and then finds the code used."""
        user_id, now = UUID(kari.user["id"]), clock.now()
        accepted: list[bool] = []

        def use_it(connection: psycopg.Connection[Any]) -> None:
            with connection.transaction():
                accepted.append(backup_codes.consume(Tx(connection, None), user_id, codes[0], keyring, now))

        with psycopg.connect(database.system) as first, psycopg.connect(database.system) as second:
            second_pid = second.info.backend_pid
            assert backup_codes.consume(Tx(first, None), user_id, codes[0], keyring, now)
            thread = threading.Thread(target=use_it, args=(second,))
            thread.start()
            while not database.execute("select 1 from pg_locks where pid = %(pid)s and not granted", pid=second_pid):
                assert thread.is_alive(), f"it did not wait, and was answered {accepted}"
            first.commit()
            thread.join()
        assert accepted == [False]

    @pytest.mark.parametrize("code", ["", 7, None, "0" * 41])
    def test_a_malformed_code_is_refused_with_its_field(self, nobody: Client, phone: Phone, code: object) -> None:
        response = nobody.post("/v1/auth/mfa", {"mfa_token": sign_in(nobody, "kari"), "backup_code": code})
        assert response.status == 422

    @pytest.mark.parametrize(
        "code", ["-", "\0", "00000-00000", "\u0660\u0661\u0662\u0663\u0664-\u0665\u0666\u0667\u0668\u0669"]
    )
    def test_an_unknown_code_is_refused(self, nobody: Client, phone: Phone, code: str) -> None:
        assert use(nobody, code).code == "second_factor_invalid"


class TestReplacing:
    def test_new_codes_replace_the_old_ones(
        self, nobody: Client, kari: Client, phone: Phone, codes: list[str], mails: Mails, database: Database
    ) -> None:
        response = kari.post("/v1/me/backup-codes", {"code": phone.code()})
        assert response.status == 200
        new = response.json["backup_codes"]
        assert len(set(new)) == 10
        assert not set(new) & set(codes)
        assert use(nobody, codes[0]).code == "second_factor_invalid"
        assert use(nobody, new[0]).status == 200
        told = [mail for mail in mails() if mail["template"] == "second_factor_changed"]
        assert "backup codes" in told[-1]["values"]["change"]
        made = database.execute("select user_id::text from core.audit where action = 'backup_codes_made'")
        assert made == [(kari.user["id"],)] * 2

    def test_a_wrong_or_used_code_replaces_nothing(
        self, nobody: Client, kari: Client, phone: Phone, codes: list[str]
    ) -> None:
        for wrong in (phone.wrong_code(), phone.code(-1)):
            assert kari.post("/v1/me/backup-codes", {"code": wrong}).code == "second_factor_invalid"
        assert use(nobody, codes[0]).status == 200

    def test_a_backup_code_cannot_generate_new_ones(self, kari: Client, codes: list[str]) -> None:
        """A finder of the paper must not get ten more."""
        assert kari.post("/v1/me/backup-codes", {"backup_code": codes[0]}).status == 422

    def test_codes_require_a_second_factor(self, person: SignUp) -> None:
        assert person("eve").post("/v1/me/backup-codes", {"code": "123456"}).code == "totp_off"

    def test_a_stranger_replaces_only_their_own_codes(
        self, nobody: Client, person: SignUp, phone: Phone, codes: list[str], later: Later
    ) -> None:
        eve = person("eve")
        eves, _ = turn_on(eve, later)
        assert eve.post("/v1/me/backup-codes", {"code": phone.code()}).code == "second_factor_invalid"
        assert eve.post("/v1/me/backup-codes", {"code": eves.code()}).status == 200
        assert use(nobody, codes[0]).status == 200

    def test_guessing_is_rate_limited(self, kari: Client, phone: Phone, later: Later) -> None:
        later(timedelta(hours=2))
        for _ in range(10):
            response = kari.post("/v1/me/backup-codes", {"code": phone.wrong_code()})
            assert response.code == "second_factor_invalid"
        assert kari.post("/v1/me/backup-codes", {"code": phone.code()}).code == "rate_limited"


def test_backup_codes_are_no_method_once_all_are_used(nobody: Client, codes: list[str], later: Later) -> None:
    for code in codes:
        later(timedelta(minutes=6))  # as often as the rate limit allows
        assert use(nobody, code).status == 200
    response = nobody.post("/v1/auth/login", {"login": "kari", "password": "long enough for us"})
    assert response.json["methods"] == ["code"]
