"""Usernames: what is allowed, what is reserved, and the free name that is offered."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from chally import clock
from identity import usernames
from tests.support.api import Client, Response
from tests.support.people import SignUp

BODY = {"email": "kari@people.test", "password": "correct horse battery", "timezone": "Europe/Oslo"}


def register(nobody: Client, username: str, email: str = "kari@people.test") -> Response:
    return nobody.post("/v1/auth/register", BODY | {"username": username, "email": email})


@pytest.mark.parametrize(
    "name",
    [
        *("admin", "Admin", "ADMIN_", "_admin", "admin1", "admin_2", "adm1n", "4dmin", "Adm1n_", "administrator"),
        *("moderator", "m0derator", "rnoderator", "Moderat0r99", "moderators_moderator", "root", "r00t", "_root_"),
        *("support", "supp0rt", "Support_Team", "SupportTeam", "chally_support", "kari_admin", "AdminKari"),
        *("chally", "Chally", "cha11y", "chaIIy", "cha_lly", "challyclub", "the_chally_team", "officialchally"),
        *("security", "system", "no_reply", "postmaster", "abuse", "help", "mailer_daemon", "team"),
        *("admins", "Moderators", "theadmin", "sysadmin", "xadm1n", "customersupport", "aclmin", "administration"),
        *("themoderator", "kari_moderators", "security_team", "Abuse_Team", "TeamSecurity", "supports"),
    ],
)
def test_names_that_speak_for_us_are_reserved(name: str) -> None:
    problem = usernames.find_problem(name)
    assert problem is not None
    assert "reserved" in problem


@pytest.mark.parametrize(
    "name",
    [
        *("kari", "Kari_99", "badminton", "supporter", "challenger", "admiral", "modern", "rooted", "staffan"),
        *("team_kari", "unsupported", "system_of_a_down", "climber", "uncle_bob", "rugby_team", "root_vegetable"),
        *("helper", "teamwork", "michal", "charly", "owner", "member", "systematic", "moderate", "x_y", "a" * 30),
    ],
)
def test_other_names_are_allowed(name: str) -> None:
    assert usernames.find_problem(name) is None


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("Jürgen", "Jurgen"),
        ("Дмитрий", "Dmitriy"),
        ("李雷", "LiLei"),
        ("Kari Nordmann", "Kari_Nordmann"),
        ("kari.nordmann@work", "kari_nordmann_work"),
        ("D\u2019Ark", "D_Ark"),
        ("Jö", "Jo_runner"),
        ("!!!", "runner"),
        ("_" * 40, "runner"),
        ("x" * 60, "x" * 30),
        ("Admin_Kari", "Kari"),
        ("admin", "runner"),
        ("deleted_kari", "kari"),
    ],
)
def test_a_refused_name_comes_with_the_rule_and_a_free_one(nobody: Client, typed: str, offered: str) -> None:
    response = register(nobody, typed)
    assert response.status == 422
    ((error),) = response.json["errors"]
    assert error["pointer"] == "/username"
    assert error["message"].endswith(f" {offered} is free.")
    assert not set("^$[]{}\\") & set(error["message"])
    assert register(nobody, offered).status == 202


@pytest.mark.parametrize(
    "typed", ["ab", "", "   ", "\u200b\u200b\u200b", "kari!", "😀😀😀", "محمد", "x" * 200, "a\u202eb"]
)
def test_every_offer_is_allowed(nobody: Client, typed: str) -> None:
    message = register(nobody, typed).json["errors"][0]["message"]
    assert "letters a to z" in message
    assert register(nobody, message.split()[-3]).status == 202


def test_an_offer_is_neither_taken_nor_about_to_be(nobody: Client, person: SignUp) -> None:
    person("jurgen")
    assert register(nobody, "jurgen2", "other@people.test").status == 202
    message = register(nobody, "Jürgen").json["errors"][0]["message"]
    assert message.endswith(" Jurgen3 is free.")


def test_a_taken_name_comes_with_a_free_one(nobody: Client, person: SignUp) -> None:
    person("kari")
    response = register(nobody, "KARI", "other@people.test")
    assert (response.status, response.code) == (409, "username_taken")
    assert response.json["detail"] == "This username is taken. KARI2 is free."
    response = person("ola").patch("/v1/me", {"username": "Kari"})
    assert (response.status, response.code) == (409, "username_taken")
    assert response.json["detail"] == "This username is taken. Kari2 is free."


def test_the_case_of_ones_own_name_can_change(person: SignUp) -> None:
    assert person("kari").patch("/v1/me", {"username": "Kari"}).json["username"] == "Kari"


@pytest.mark.parametrize("name", ["Jürgen", "admin", "x" * 40])
def test_renaming_follows_the_same_rules(person: SignUp, name: str) -> None:
    response = person("kari").patch("/v1/me", {"username": name})
    assert response.status == 422
    assert response.json["errors"][0]["message"].endswith(" is free.")


def test_a_refused_name_uses_up_no_limit(nobody: Client, at: Callable[[datetime], None]) -> None:
    at(clock.now() + timedelta(seconds=1))
    for _ in range(12):
        assert register(nobody, "admin").status == 422
    assert register(nobody, "kari").status == 202
