"""Passwords: their strength check, normalisation, hashes, and the imported hashes of the former Chally."""

import unicodedata

import argon2
import bcrypt
import pytest

from chally.errors import InvalidRequest
from identity import passwords
from tests.support.api import Client
from tests.support.database import Database
from tests.support.people import SignUp

OLD = "From Long Ago"


def wide(text: str) -> str:
    """As a Japanese keyboard types it: other characters, which NFKC maps to the same."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


def weakness(password: str, username: str = "kari_n", email: str = "kari.nordmann@people.test") -> str | None:
    """The problem as shown to the user; None if the password is accepted."""
    try:
        passwords.check(password, username=username, email=email)
    except InvalidRequest as error:
        (problem,) = error.errors
        assert problem["pointer"] == "/password"
        return problem["message"]
    return None


class TestCheck:
    @pytest.mark.parametrize(
        "password",
        [
            "correct horse battery",
            "tre små kinesere på Høybroplass",
            "密码是一个很长的句子",
            "🦀🐙🦑🐡🐠🐟🐬🐳🐋🦈",
            "x9#Lm!2qPz",
            "a sentence with spaces, " * 5,
            "nul\0 and tab\t are characters",
            "kaleidoscopes and more",  # begins like the username, but does not contain it
        ],
    )
    def test_any_characters_are_accepted(self, password: str) -> None:
        assert weakness(password) is None

    def test_passwords_have_10_to_128_characters(self) -> None:
        text = "".join(chr(ord("a") + n % 26) for n in range(200))
        assert (
            weakness(text[:9]) == weakness(text[:129]) == "Use 10 to 128 characters, for example a few words in a row."
        )
        assert weakness(text[:10]) is None
        assert weakness(text[:128]) is None

    def test_the_length_counts_after_normalising(self) -> None:
        ligatures = "ﬃ-ﬁrst-ﬆ"  # 8 characters that are 12
        assert len(ligatures) == 8
        assert weakness(ligatures) is None
        composed = unicodedata.normalize("NFD", "åøåøéèêë")  # 14 code points that are 8 characters
        assert len(composed) == 14
        assert weakness(composed) == weakness("a")
        assert weakness("ﷺ" * 7 + "-abcde") is not None  # 13 characters that are 132

    @pytest.mark.parametrize(
        "password",
        [
            "1234567890", "qwertyuiop", "password123", "iloveyou12", "PASSWORD123", "PassWord123", "password1!",
            "!!password!!", "Password2026!", "12345password", "#Qwertyuiop1", wide("password123"), "letmein!!!1",
            "aaaaaaaaaa", "abababababab", "          ", "1111111111111111",
        ],
    )  # fmt: skip
    def test_common_passwords_are_refused_in_any_disguise(self, password: str) -> None:
        assert weakness(password) == "Many people use this password. Use a few words in a row instead."

    @pytest.mark.parametrize(
        "password",
        [
            "kari_n is my name", "my name is KARI_N", "Kari.Nordmann 1984", "kari.nordmann@people.test",
            "xx KARI.NORDMANN@PEOPLE.TEST xx", f"my name is {wide('kari_n')}",
        ],
    )  # fmt: skip
    def test_passwords_containing_the_username_or_address_are_refused(self, password: str) -> None:
        assert weakness(password) == "The password may not contain your username or your address."

    def test_a_weak_password_is_explained_over_http(self, nobody: Client) -> None:
        body = {"email": "kari@people.test", "username": "kari", "timezone": "UTC"}
        for password in ("short", "Password2026!", "my name is kari", "x" * 129, "x" * 1_001, "\ud800 surrogates"):
            response = nobody.post("/v1/auth/register", body | {"password": password})
            assert response.status == 422, password
            assert [error["pointer"] for error in response.json["errors"]] == ["/password"]
        assert nobody.post("/v1/auth/login", {"login": "kari", "password": "\ud800 surrogates"}).status == 422


def sign_in(password: str, login: str = "kari") -> int:
    return Client().post("/v1/auth/login", {"login": login, "password": password}).status


@pytest.fixture
def patient(database: Database) -> None:
    """Lifts the rate limits."""
    database.execute("update core.limits set quantity = 1000")


@pytest.mark.usefixtures("patient")
class TestSame:
    @pytest.mark.parametrize(
        ("chosen", "typed"),
        [
            ("Blåbærsyltetøy", unicodedata.normalize("NFD", "Blåbærsyltetøy")),
            ("ﬁne words in a row", "fine words in a row"),
            (wide("wide-letters"), "wide-letters"),
            ("number ① of many", "number 1 of many"),
        ],
    )
    def test_two_spellings_of_one_password_both_sign_in(
        self, nobody: Client, person: SignUp, database: Database, chosen: str, typed: str
    ) -> None:
        assert chosen != typed
        person("kari")
        for kept in (chosen, typed):
            database.execute("update identity.users set password_hash = %(hash)s", hash=passwords.make_hash(kept))
            assert sign_in(chosen) == sign_in(typed) == 200
        assert sign_in(typed.upper()) == 401

    def test_passwords_are_not_truncated(self, person: SignUp, database: Database) -> None:
        """Neither at a NUL nor after 72 bytes, as bcrypt did."""
        person("kari")
        for password in ("before\0after it", "a" * 72 + " and what follows"):
            database.execute("update identity.users set password_hash = %(hash)s", hash=passwords.make_hash(password))
            assert sign_in(password) == 200
            assert sign_in(password[:-1]) == sign_in(password + "x") == 401


class TestHash:
    def test_hash_parameters_meet_the_owasp_minimum(self) -> None:
        found = argon2.extract_parameters(passwords.make_hash("correct horse battery"))
        assert found.type is argon2.low_level.Type.ID
        assert found.memory_cost >= 19_456
        assert found.time_cost >= 2
        assert found.parallelism >= 1
        assert found.salt_len >= 16
        assert found.hash_len >= 32

    def test_the_dummy_hash_takes_as_long_as_a_real_one(self) -> None:
        """It is verified where there is no account: other parameters would reveal that by their timing."""
        today = argon2.extract_parameters(passwords.make_hash("correct horse battery"))
        assert argon2.extract_parameters(passwords.DUMMY_HASH) == today
        assert not passwords.matches(passwords.DUMMY_HASH, "correct horse battery")

    def test_the_dummy_bcrypt_hash_is_well_formed(self) -> None:
        for cost in (4, 5):
            assert not bcrypt.checkpw(b"x", passwords.DUMMY_BCRYPT_HASH.format(cost).encode())  # malformed would raise

    def test_hashes_are_salted(self) -> None:
        assert passwords.make_hash("correct horse battery") != passwords.make_hash("correct horse battery")

    @pytest.mark.parametrize("stored", ["", "!", "$argon2id$", "$2b$", "$2b$12$short", "correct horse battery"])
    def test_a_malformed_hash_matches_nothing(self, stored: str) -> None:
        assert not passwords.matches(stored, "correct horse battery")

    @pytest.mark.usefixtures("patient")
    def test_a_sign_in_replaces_a_hash_with_outdated_parameters(self, person: SignUp, database: Database) -> None:
        person("kari")

        def stored() -> str:
            return str(database.execute("select password_hash from identity.users")[0][0])

        assert sign_in("long enough for us") == 200
        today = stored()
        assert sign_in("long enough for us") == 200
        assert stored() == today  # only once
        weaker = argon2.PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash("long enough for us")
        other = argon2.PasswordHasher(type=argon2.low_level.Type.I).hash("long enough for us")
        for former in (weaker, other):
            database.execute("update identity.users set password_hash = %(hash)s", hash=former)
            assert sign_in("not the right one") == 401
            assert stored() == former
            assert sign_in("long enough for us") == 200
            assert argon2.extract_parameters(stored()) == argon2.extract_parameters(today)
            assert sign_in("long enough for us") == 200


@pytest.mark.usefixtures("patient")
class TestFormerChally:
    """Imported hashes are bcrypt's: of the password without normalisation, and of its first 72 bytes."""

    def keep(self, database: Database, password: bytes, prefix: bytes = b"2b") -> None:
        made = bcrypt.hashpw(password[:72], bcrypt.gensalt(4)).replace(b"2b", prefix, 1).decode()
        database.execute("update identity.users set password_hash = %(hash)s where username = 'kari'", hash=made)

    def stored(self, database: Database) -> str:
        return str(database.execute("select password_hash from identity.users where username = 'kari'")[0][0])

    @pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
    def test_imported_hashes_verify_once_and_are_upgraded(
        self, person: SignUp, database: Database, prefix: bytes
    ) -> None:
        person("kari")
        self.keep(database, OLD.encode(), prefix)
        assert sign_in("from long ago") == 401
        assert self.stored(database).startswith("$2")
        assert sign_in(OLD) == 200
        upgraded = self.stored(database)
        assert upgraded.startswith("$argon2id$")
        assert sign_in(OLD) == 200
        assert self.stored(database) == upgraded
        assert sign_in("from long ago") == 401

    def test_an_imported_password_that_is_too_weak_today_still_signs_in(
        self, person: SignUp, database: Database
    ) -> None:
        person("kari")
        self.keep(database, b"secret")
        assert sign_in("secret") == sign_in("secret") == 200

    def test_only_72_bytes_of_a_long_imported_password_count_until_the_upgrade(
        self, person: SignUp, database: Database
    ) -> None:
        person("kari")
        long = "å" * 35 + "xyå" + " and what bcrypt never saw"  # the 72nd byte is the first half of a letter
        self.keep(database, long.encode())
        assert sign_in("å" * 35 + "xz") == 401
        assert sign_in(long) == 200
        assert sign_in(long) == 200
        assert sign_in(long[:38]) == 401

    def test_imported_passwords_are_not_normalised_until_the_upgrade(self, person: SignUp, database: Database) -> None:
        """The former Chally hashed them unchanged; after the upgrade both spellings match."""
        person("kari")
        decomposed = unicodedata.normalize("NFD", "Blåbærsyltetøy")
        self.keep(database, decomposed.encode())
        assert sign_in("Blåbærsyltetøy") == 401
        assert sign_in(decomposed) == 200
        assert sign_in("Blåbærsyltetøy") == 200

    def test_other_accounts_sign_in_while_imported_hashes_exist(self, person: SignUp, database: Database) -> None:
        person("kari"), person("ola")
        self.keep(database, OLD.encode())
        assert sign_in("long enough for us", "ola") == 200
        assert sign_in(OLD, "ola") == 401
        assert sign_in(OLD, "nobody") == 401

    def test_unknown_logins_take_as_long_as_imported_ones(
        self, person: SignUp, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The dummy hash has the same cost as the imported ones, whatever that is."""
        person("kari")
        self.keep(database, OLD.encode())
        verified: list[bytes] = []

        def checked(password: bytes, stored: bytes) -> bool:
            verified.append(stored[:7])
            return False

        monkeypatch.setattr(bcrypt, "checkpw", checked)
        assert sign_in("wrong") == sign_in("wrong", "nobody") == 401
        assert verified == [b"$2b$04$"] * 2
