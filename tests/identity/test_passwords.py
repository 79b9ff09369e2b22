"""Passwords: which are good enough, what is the same one, and what became of those of the former Chally."""

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
    """As a Japanese keyboard types it: other characters, which NFKC makes the same."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


def weakness(password: str, username: str = "kari_n", email: str = "kari.nordmann@people.test") -> str | None:
    """What is wrong with it, told to a person; None when it will do."""
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
            "kaleidoscopes and more",  # begins as a name does, and is none
        ],
    )
    def test_any_characters_are_good(self, password: str) -> None:
        assert weakness(password) is None

    def test_ten_to_128_characters(self) -> None:
        text = "".join(chr(ord("a") + n % 26) for n in range(200))
        assert weakness(text[:9]) == weakness(text[:129]) == "Use 10 to 128 characters; a few words in a row are good."
        assert weakness(text[:10]) is None
        assert weakness(text[:128]) is None

    def test_counted_after_normalising(self) -> None:
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
    def test_common_ones_are_not_dressed_up_or_not_in_any_case(self, password: str) -> None:
        assert weakness(password) == "Many people use this password. Use a few words in a row instead."

    @pytest.mark.parametrize(
        "password",
        [
            "kari_n is my name", "my name is KARI_N", "Kari.Nordmann 1984", "kari.nordmann@people.test",
            "xx KARI.NORDMANN@PEOPLE.TEST xx", f"my name is {wide('kari_n')}",
        ],
    )  # fmt: skip
    def test_not_ones_own_name_or_address(self, password: str) -> None:
        assert weakness(password) == "It may not contain your username or your address."

    def test_says_so_over_http(self, nobody: Client) -> None:
        body = {"email": "kari@people.test", "username": "kari", "timezone": "UTC"}
        for password in ("short", "Password2026!", "my name is kari", "x" * 129, "x" * 1_001, "\ud800 surrogates"):
            answer = nobody.post("/v1/auth/register", body | {"password": password})
            assert answer.status == 422, password
            assert [error["pointer"] for error in answer.json["errors"]] == ["/password"]
        assert nobody.post("/v1/auth/login", {"login": "kari", "password": "\ud800 surrogates"}).status == 422


def sign_in(password: str, login: str = "kari") -> int:
    return Client().post("/v1/auth/login", {"login": login, "password": password}).status


@pytest.fixture
def patient(database: Database) -> None:
    """Nobody counts how often one tries."""
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
    def test_two_spellings_sign_in_alike(
        self, nobody: Client, person: SignUp, database: Database, chosen: str, typed: str
    ) -> None:
        assert chosen != typed
        person("kari")
        for kept in (chosen, typed):
            database.execute("update identity.users set password_hash = %(hash)s", hash=passwords.make_hash(kept))
            assert sign_in(chosen) == sign_in(typed) == 200
        assert sign_in(typed.upper()) == 401

    def test_nothing_is_cut_off(self, person: SignUp, database: Database) -> None:
        """Neither at a NUL nor after 72 bytes, as bcrypt did."""
        person("kari")
        for password in ("before\0after it", "a" * 72 + " and what follows"):
            database.execute("update identity.users set password_hash = %(hash)s", hash=passwords.make_hash(password))
            assert sign_in(password) == 200
            assert sign_in(password[:-1]) == sign_in(password + "x") == 401


class TestHash:
    def test_is_at_least_what_owasp_asks(self) -> None:
        found = argon2.extract_parameters(passwords.make_hash("correct horse battery"))
        assert found.type is argon2.low_level.Type.ID
        assert found.memory_cost >= 19_456
        assert found.time_cost >= 2
        assert found.parallelism >= 1
        assert found.salt_len >= 16
        assert found.hash_len >= 32

    def test_of_nobody_takes_as_long(self) -> None:
        """Verified where there is no account: with other parameters it would tell by its time."""
        today = argon2.extract_parameters(passwords.make_hash("correct horse battery"))
        assert argon2.extract_parameters(passwords.DUMMY_HASH) == today
        assert not passwords.matches(passwords.DUMMY_HASH, "correct horse battery")

    def test_of_nobody_is_a_hash_to_bcrypt_too(self) -> None:
        for cost in (4, 5):
            assert not bcrypt.checkpw(b"x", passwords.DUMMY_BCRYPT_HASH.format(cost).encode())  # malformed would raise

    def test_is_salted(self) -> None:
        assert passwords.make_hash("correct horse battery") != passwords.make_hash("correct horse battery")

    @pytest.mark.parametrize("stored", ["", "!", "$argon2id$", "$2b$", "$2b$12$short", "correct horse battery"])
    def test_what_is_none_matches_nothing(self, stored: str) -> None:
        assert not passwords.matches(stored, "correct horse battery")

    @pytest.mark.usefixtures("patient")
    def test_is_made_anew_at_a_sign_in_when_parameters_have_changed(self, person: SignUp, database: Database) -> None:
        person("kari")

        def stored() -> str:
            return str(database.execute("select password_hash from identity.users")[0][0])

        assert sign_in("long enough for us") == 200
        today = stored()
        assert sign_in("long enough for us") == 200
        assert stored() == today  # not at every one
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
    """Its hashes are bcrypt's: of the password as it came, and of that the first 72 bytes."""

    def keep(self, database: Database, password: bytes, prefix: bytes = b"2b") -> None:
        made = bcrypt.hashpw(password[:72], bcrypt.gensalt(4)).replace(b"2b", prefix, 1).decode()
        database.execute("update identity.users set password_hash = %(hash)s where username = 'kari'", hash=made)

    def stored(self, database: Database) -> str:
        return str(database.execute("select password_hash from identity.users where username = 'kari'")[0][0])

    @pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
    def test_verify_once_and_are_upgraded(self, person: SignUp, database: Database, prefix: bytes) -> None:
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

    def test_a_password_that_would_be_refused_today_still_signs_in(self, person: SignUp, database: Database) -> None:
        person("kari")
        self.keep(database, b"secret")
        assert sign_in("secret") == sign_in("secret") == 200

    def test_of_a_long_one_72_bytes_count_until_it_is_upgraded(self, person: SignUp, database: Database) -> None:
        person("kari")
        long = "å" * 35 + "xyå" + " and what bcrypt never saw"  # the 72nd byte is the first half of a letter
        self.keep(database, long.encode())
        assert sign_in("å" * 35 + "xz") == 401
        assert sign_in(long) == 200
        assert sign_in(long) == 200
        assert sign_in(long[:38]) == 401

    def test_unicode_counts_as_it_came(self, person: SignUp, database: Database) -> None:
        """That is what was hashed; from the upgrade on both spellings are the same."""
        person("kari")
        decomposed = unicodedata.normalize("NFD", "Blåbærsyltetøy")
        self.keep(database, decomposed.encode())
        assert sign_in("Blåbærsyltetøy") == 401
        assert sign_in(decomposed) == 200
        assert sign_in("Blåbærsyltetøy") == 200

    def test_others_sign_in_meanwhile(self, person: SignUp, database: Database) -> None:
        person("kari"), person("ola")
        self.keep(database, OLD.encode())
        assert sign_in("long enough for us", "ola") == 200
        assert sign_in(OLD, "ola") == 401
        assert sign_in(OLD, "nobody") == 401

    def test_it_takes_as_long_as_theirs(
        self, person: SignUp, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever work factor the former Chally hashed with: the hash of nobody has the same."""
        person("kari")
        self.keep(database, OLD.encode())
        verified: list[bytes] = []

        def checked(password: bytes, stored: bytes) -> bool:
            verified.append(stored[:7])
            return False

        monkeypatch.setattr(bcrypt, "checkpw", checked)
        assert sign_in("wrong") == sign_in("wrong", "nobody") == 401
        assert verified == [b"$2b$04$"] * 2
