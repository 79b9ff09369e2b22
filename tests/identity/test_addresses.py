"""Addresses as people type them, at every way in."""

from collections.abc import Callable
from typing import Any

import pytest

from chally import clock, db
from identity import addresses, roles
from tests.support.api import Client
from tests.support.mailed_links import CONFIRM_PATHS, PASSWORD, mailed_token
from tests.support.people import SignUp

Mails = Callable[[], list[dict[str, Any]]]
BODY = {"username": "kari", "password": "correct horse battery", "timezone": "Europe/Oslo"}


def full_width(text: str) -> str:
    """As keyboards for Japanese write it."""
    return text.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)})


class TestSpelling:
    @pytest.mark.parametrize(
        ("typed", "expected"),
        [
            ("kari@example.com", "kari@example.com"),
            ("Kari@EXAMPLE.com", "Kari@example.com"),
            (" \u00a0kari@example.com\u3000\r\n", "kari@example.com"),
            ("\ufeff\u202akari@example.com\u202c\u200b", "kari@example.com"),
            ("kari+chally@example.com", "kari+chally@example.com"),
            ("o'kari@example.com", "o'kari@example.com"),
            ("kari\uff20example.com", "kari@example.com"),
            (full_width("kari@example.com"), "kari@example.com"),
            ("kari@example。com", "kari@example.com"),
            ("kari@B\u00dcCHER.example", "kari@bücher.example"),
            ("kari@bu\u0308cher.example", "kari@bücher.example"),
            ("kari@xn--bcher-kva.example", "kari@bücher.example"),
            ("kari@XN--BCHER-KVA.example", "kari@bücher.example"),
            ("kari@straße.example", "kari@straße.example"),
            ("kari@xn--strae-oqa.example", "kari@straße.example"),
            ("kari@strasse.example", "kari@strasse.example"),
            ("kari@例え.テスト", "kari@例え.テスト"),
            ("kari@xn--r8jz45g.xn--zckzah", "kari@例え.テスト"),
        ],
    )
    def test_an_address_has_one_spelling(self, typed: str, expected: str) -> None:
        assert addresses.normalise(typed) == expected
        assert addresses.normalise(expected) == expected
        assert addresses.normalise_login(typed) == expected.lower()

    @pytest.mark.parametrize(
        ("typed", "sentence"),
        [
            ("Someone <a@b.test>", "alone, without a name"),
            ('"Someone Else" <a@b.test>', "alone, without a name"),
            ("<a@b.test>", "alone, without a name"),
            ("jürgen@example.com", "with “ü” before the @"),
            ("用户@example.com", "with “用” before the @"),
            ("kari😀@example.com", "with “😀” before the @"),
            ('"a b"@example.com', "Quoting the part before the @-sign"),
            ("kari@example.com.", "cannot end with a period"),
            ("kari", "must have an @-sign"),
            ("", "must have an @-sign"),
            ("@example.com", "before the @-sign"),
            ("kari@", "after the @-sign"),
            ("a@b.test, c@d.test", "invalid characters"),
            ("a@b@c.test", "invalid characters"),
            ("kari@i❤.ws", "no domain name"),
            ("kari@xn--i-7iq.ws", "no domain name"),
            ("kari@[192.0.2.1]", "bracketed IP address"),
            ("kari@192.0.2.1", "not valid"),
            ("kari@localhost", "should have a period"),
            ("x" * 65 + "@example.com", "too long before the @-sign"),
            ("kari@" + ("ü" * 50 + ".") * 4 + "test", "too long"),
            ("ka\u202eri@example.com", "invisible character before the @"),
            ("kari@exam\u200bple.com", "unsafe characters"),
            ("kari@exam\u202eple.com", "unsafe characters"),
            ("ka\0ri@example.com", "invalid characters"),
        ],
    )
    def test_what_is_no_address_gets_a_sentence(self, typed: str, sentence: str) -> None:
        with pytest.raises(ValueError, match=r"\.$") as refused:
            addresses.normalise(typed)
        assert sentence in str(refused.value)

    @pytest.mark.parametrize("typed", [" Kari\n", "kari", "\u00a0KARI\u200b", full_width("kari")])
    def test_a_username_is_compared_without_space_around_it(self, typed: str) -> None:
        assert addresses.normalise_login(typed) == "kari"


class TestWaysIn:
    """Each accepts what a keyboard or a copy adds, and both spellings of a domain."""

    @pytest.fixture
    def kari(self, nobody: Client, mails: Mails) -> Client:
        registered = nobody.post(
            "/v1/auth/register", BODY | {"email": "\u00a0kari@BÜCHER.test\n", "username": " kari "}
        )
        assert registered.status == 202, registered.text
        session = nobody.post("/v1/auth/verify-email", {"token": f" {mails()[-1]['values']['token']}\u00a0\n"})
        assert session.status == 200, session.text
        return Client(session.json["access_token"], session.json["user"])

    def test_registering(self, kari: Client, nobody: Client, mails: Mails) -> None:
        assert (kari.user["username"], kari.user["email"]) == ("kari", "kari@bücher.test")
        again = BODY | {"email": "KARI@xn--bcher-kva.test", "username": "kari2"}
        assert nobody.post("/v1/auth/register", again).status == 202
        assert mails()[-1]["template"] == "account_exists"

    @pytest.mark.parametrize(
        "login", [" kari\n", "\u00a0kari@bücher.test ", "KARI@XN--BCHER-KVA.test", "kari\uff20bücher.test"]
    )
    def test_signing_in(self, kari: Client, nobody: Client, login: str) -> None:
        body = {"login": login, "password": BODY["password"]}
        assert nobody.post("/v1/auth/login", body).status == 200

    def test_a_password_is_not_trimmed(self, kari: Client, nobody: Client) -> None:
        body = {"login": "kari", "password": f" {BODY['password']}"}
        assert nobody.post("/v1/auth/login", body).code == "invalid_credentials"

    @pytest.mark.parametrize(
        ("path", "purpose"), [("/v1/auth/magic-link", "magic_link"), ("/v1/auth/password/forgot", "password_reset")]
    )
    def test_requesting_and_following_a_link(
        self, kari: Client, nobody: Client, mails: Mails, path: str, purpose: str
    ) -> None:
        assert nobody.post(path, {"email": "\u00a0Kari@xn--bcher-kva.test\r\n"}).status == 202
        assert mails()[-1]["user_id"] == kari.user["id"]
        body = {"token": f"\n{mailed_token(mails, purpose)} "}
        body |= {"password": "another good one"} if purpose == "password_reset" else {}
        assert nobody.post(CONFIRM_PATHS[purpose], body).status in (200, 204)

    def test_changing_the_address(self, person: SignUp, nobody: Client, mails: Mails) -> None:
        ola = person("ola")
        body = {"current_password": PASSWORD, "new": " ola@xn--bcher-kva.test\n"}
        assert ola.post("/v1/me/email", body).status == 204
        assert nobody.post(CONFIRM_PATHS["email_change"], {"token": mailed_token(mails, "email_change")}).status == 204
        assert ola.get("/v1/me").json["email"] == "ola@bücher.test"

    def test_changing_the_username(self, person: SignUp) -> None:
        assert person("ola").patch("/v1/me", {"username": "\u00a0olaf\n"}).json["username"] == "olaf"

    def test_assigning_a_role(self, kari: Client) -> None:
        with db.as_system("tests") as tx:
            change = roles.change(tx, " KARI@xn--bcher-kva.test\n", "moderator", clock.now())
        assert change is not None

    @pytest.mark.parametrize("email", ["Someone <kari@people.test>", "jürgen@people.test", "kari@people.test."])
    @pytest.mark.parametrize("path", ["/v1/auth/register", "/v1/auth/magic-link", "/v1/auth/password/forgot"])
    def test_an_impossible_address_names_its_field(self, nobody: Client, path: str, email: str) -> None:
        more = BODY if path.endswith("register") else {}
        response = nobody.post(path, more | {"email": email})
        assert response.status == 422
        assert [error["pointer"] for error in response.json["errors"]] == ["/email"]
