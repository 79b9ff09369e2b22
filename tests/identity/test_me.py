"""The user's own account: changing it, and listing and ending its sessions."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chally import clock
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

At = Callable[[datetime], None]
PASSWORD = "long enough for us"


def sign_in(nobody: Client, login: str, device: str = "a phone") -> Client:
    session = nobody.call(
        "POST", "/v1/auth/login", body={"login": login, "password": PASSWORD}, headers={"user-agent": device}
    )
    assert session.status == 200, session.text
    return Client(session.json["access_token"], session.json | session.json["user"])


def audited(database: Database, action: str) -> list[tuple[Any, ...]]:
    return database.execute("select user_id::text, detail from core.audit where action = %(action)s", action=action)


class TestChange:
    @pytest.mark.parametrize(
        ("body", "changed"),
        [
            ({"username": "Karina"}, {"username": "Karina"}),
            ({"timezone": "Asia/Tokyo"}, {"timezone": "Asia/Tokyo"}),
            ({"notifications": {"reminders": False}}, {"notifications": {"reminders": False, "quiet_hours": None}}),
            (
                {"notifications": {"quiet_hours": {"from": "22:00", "to": "07:30"}}},
                {"notifications": {"reminders": True, "quiet_hours": {"from": "22:00", "to": "07:30"}}},
            ),
            ({"notifications": {"quiet_hours": None}}, {}),
            ({"notifications": {}}, {}),
            ({"username": None, "timezone": None, "notifications": None}, {}),
            ({}, {}),
        ],
    )
    def test_a_change_affects_only_the_fields_sent(
        self, person: SignUp, body: dict[str, object], changed: dict[str, object]
    ) -> None:
        kari = person("kari")
        before = kari.get("/v1/me").json
        response = kari.patch("/v1/me", body)
        assert response.status == 200
        assert response.json == before | changed == kari.get("/v1/me").json

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"username": "a b"}, "/username"),
            ({"username": "Deleted_kari"}, "/username"),
            ({"timezone": "CET"}, "/timezone"),
            ({"notifications": {"reminders": "perhaps"}}, "/notifications/reminders"),
            ({"notifications": {"spam": True}}, "/notifications/spam"),
            ({"notifications": {"quiet_hours": {"from": "22:00", "to": "22:00"}}}, "/notifications/quiet_hours"),
            ({"notifications": {"quiet_hours": {"from": "24:00", "to": "07:00"}}}, "/notifications/quiet_hours/from"),
            ({"notifications": {"quiet_hours": {"from": "22:00"}}}, "/notifications/quiet_hours/to"),
            ({"notifications": {"quiet_hours": {"from": "22:00", "to": None}}}, "/notifications/quiet_hours/to"),
            ({"role": "admin"}, "/role"),
            ({"email": "other@people.test"}, "/email"),
        ],
    )
    def test_an_invalid_change_names_the_wrong_field(
        self, person: SignUp, body: dict[str, object], pointer: str
    ) -> None:
        kari = person("kari")
        before = kari.get("/v1/me").json
        response = kari.patch("/v1/me", body)
        assert response.status == 422
        assert [error["pointer"] for error in response.json["errors"]] == [pointer]
        assert kari.get("/v1/me").json == before

    def test_a_change_requires_signing_in(self, nobody: Client, person: SignUp) -> None:
        kari = person("kari")
        assert nobody.patch("/v1/me", {"username": "somebody"}).code == "unauthenticated"
        assert kari.get("/v1/me").json["username"] == "kari"

    def test_a_change_does_not_affect_other_accounts(self, person: SignUp) -> None:
        kari, liv = person("kari"), person("liv")
        before = liv.get("/v1/me").json
        hours = {"from": "22:00", "to": "07:00"}
        everything = {
            "username": "karina",
            "timezone": "Asia/Tokyo",
            "notifications": {"reminders": False, "quiet_hours": hours},
        }
        kari.patch("/v1/me", everything)
        assert liv.get("/v1/me").json == before

    def test_a_username_is_unique_in_any_case(self, person: SignUp) -> None:
        kari, _ = person("kari"), person("liv")
        assert kari.patch("/v1/me", {"username": "LIV", "timezone": "UTC"}).code == "username_taken"
        assert kari.get("/v1/me").json["timezone"] == "Europe/Berlin"  # all or nothing
        assert kari.patch("/v1/me", {"username": "KARI"}).json["username"] == "KARI"

    def test_a_renamed_user_signs_in_with_the_new_name_and_frees_the_old_one(
        self, nobody: Client, person: SignUp
    ) -> None:
        person("kari").patch("/v1/me", {"username": "karina"})
        assert sign_in(nobody, "karina").user["username"] == "karina"
        assert nobody.post("/v1/auth/login", {"login": "kari", "password": PASSWORD}).code == "invalid_credentials"
        person("kari2").patch("/v1/me", {"username": "kari"})

    def test_only_new_usernames_count_towards_the_limit(self, person: SignUp, at: At) -> None:
        kari = person("kari")
        now = clock.now()
        at(now)
        for number in range(5):
            assert kari.patch("/v1/me", {"username": f"kari{number}"}).status == 200
        refused = kari.patch("/v1/me", {"username": "kari9", "timezone": "Asia/Tokyo"})
        assert refused.code == "rate_limited"
        assert int(refused.headers["retry-after"]) == 24 * 3600 // 5
        same = kari.patch("/v1/me", {"username": "kari4", "timezone": "Asia/Tokyo"})
        assert (same.status, same.json["timezone"]) == (200, "Asia/Tokyo")

    def test_a_new_username_is_audited_without_its_text(self, person: SignUp, database: Database) -> None:
        kari = person("kari")
        kari.patch("/v1/me", {"username": "karina", "timezone": "UTC"})
        kari.patch("/v1/me", {"username": "karina"})
        assert audited(database, "username_changed") == [(kari.user["id"], {})]

    def test_the_time_zone_is_the_default_of_challenges_joined_later(self, person: SignUp) -> None:
        owner, kari = person("owner"), person("kari", "Europe/Oslo")
        first, second = (owner.post("/v1/challenges", challenge_body(clock.now())).json for _ in range(2))
        assert kari.post(f"/v1/challenges/{first['invite_code']}/join").status == 201
        kari.patch("/v1/me", {"timezone": "Asia/Tokyo"})
        assert kari.post(f"/v1/challenges/{second['invite_code']}/join").status == 201
        zones = [kari.get(f"/v1/challenges/{c['id']}/windows/current").json["timezone"] for c in (first, second)]
        assert zones == ["Europe/Oslo", "Asia/Tokyo"]


class TestSessions:
    def test_a_user_sees_their_own_sessions_with_the_current_one_marked(self, nobody: Client, person: SignUp) -> None:
        kari, _ = person("kari"), person("liv")
        phone = sign_in(nobody, "kari", "a phone")
        response = phone.get("/v1/me/sessions")
        assert response.status == 200
        items = response.json["items"]
        assert [(each["device"], each["current"]) for each in items] == [("a phone", True), ("tests", False)]
        assert {each["ip"] for each in items} == {"192.0.2.7"}
        for each in items:
            assert each["created_at"]
            assert each["last_seen_at"]
            assert (each["ended_at"], each["ended_reason"], each["ended_because"]) == (None, None, None)
        assert [each["current"] for each in kari.get("/v1/me/sessions").json["items"]] == [False, True]

    def test_a_device_is_named_without_what_cannot_be_seen(self, nobody: Client, person: SignUp) -> None:
        person("kari")
        kari = sign_in(nobody, "kari", " A\x07 phone\t of mine\x7f")
        assert kari.get("/v1/me/sessions").json["items"][0]["device"] == "A phone of mine"

    def test_listing_sessions_requires_signing_in(self, nobody: Client) -> None:
        assert nobody.get("/v1/me/sessions").code == "unauthenticated"

    def test_sessions_are_paged(self, nobody: Client, person: SignUp) -> None:
        kari = person("kari")
        for number in range(3):
            sign_in(nobody, "kari", f"device {number}")
        everything = kari.get("/v1/me/sessions").json
        assert (len(everything["items"]), everything["has_more"], everything["next_cursor"]) == (4, False, None)
        first = kari.get("/v1/me/sessions", limit=3).json
        assert (len(first["items"]), first["has_more"]) == (3, True)
        rest = kari.get("/v1/me/sessions", limit=3, cursor=first["next_cursor"]).json
        assert first["items"] + rest["items"] == everything["items"]
        assert rest["has_more"] is False
        assert kari.get("/v1/me/sessions", offset=3).json["items"] == rest["items"]
        assert kari.get("/v1/me/sessions", cursor="bm9uZQ").json["errors"][0]["pointer"] == "/query/cursor"

    def test_ended_sessions_explain_why(self, nobody: Client, person: SignUp, database: Database, at: At) -> None:
        kari = person("kari")
        ended = {"signed_out": "signed out", "reuse": "copied", "password_changed": "password"}
        for reason in ended:
            session = sign_in(nobody, "kari", reason)
            database.execute(
                "update identity.sessions set ended_at = now(), ended_reason = %(reason)s where id ="
                " (select id from identity.sessions where user_agent = %(reason)s)",
                reason=reason,
            )
            assert session.get("/v1/me").code == "session_ended"
        shown = {each["device"]: each for each in kari.get("/v1/me/sessions").json["items"]}
        for reason, word in ended.items():
            assert shown[reason]["ended_reason"] == reason
            assert word in shown[reason]["ended_because"]
        at(clock.now() + timedelta(days=31))
        expired = {each["device"]: each for each in kari.get("/v1/me/sessions").json["items"]}["tests"]
        assert expired["ended_reason"] == "expired"
        assert "30 days" in expired["ended_because"]


class TestEndSession:
    def test_the_tokens_of_an_ended_session_are_refused_at_once(
        self, nobody: Client, person: SignUp, database: Database
    ) -> None:
        kari = person("kari")
        phone = sign_in(nobody, "kari")
        session = next(each for each in kari.get("/v1/me/sessions").json["items"] if not each["current"])
        assert kari.delete(f"/v1/me/sessions/{session['id']}").status == 204
        assert phone.get("/v1/me").code == "session_ended"
        refresh = {"refresh_token": phone.user["refresh_token"]}
        assert nobody.post("/v1/auth/refresh", refresh).code == "session_ended"
        assert kari.get("/v1/me").status == 200
        shown = next(each for each in kari.get("/v1/me/sessions").json["items"] if each["id"] == session["id"])
        assert shown["ended_reason"] == "signed_out"
        assert kari.delete(f"/v1/me/sessions/{session['id']}").status == 204  # again
        assert audited(database, "session_ended") == [(kari.user["id"], {"ended": session["id"]})]

    def test_ending_the_current_session_deletes_its_cookies(self, nobody: Client, person: SignUp) -> None:
        person("kari")
        browser = Client(headers={"x-session-transport": "cookie"})
        assert browser.post("/v1/auth/login", {"login": "kari", "password": PASSWORD}).status == 200
        browser.headers = {"x-csrf-token": browser.cookies["__Host-csrf"]}
        (current,) = [each["id"] for each in browser.get("/v1/me/sessions").json["items"] if each["current"]]
        stolen = dict(browser.cookies)
        assert browser.delete(f"/v1/me/sessions/{current}").status == 204
        assert browser.cookies == {}
        assert Client(cookies=stolen).get("/v1/me").code == "session_ended"

    def test_other_users_sessions_are_not_found(self, nobody: Client, person: SignUp) -> None:
        kari, liv = person("kari"), person("liv")
        session = kari.get("/v1/me/sessions").json["items"][0]["id"]
        assert nobody.delete(f"/v1/me/sessions/{session}").code == "unauthenticated"
        assert liv.delete(f"/v1/me/sessions/{session}").code == "not_found"
        assert kari.delete("/v1/me/sessions/01a1fa7f-f021-7101-b6d6-8af660ef4075").code == "not_found"
        assert kari.delete("/v1/me/sessions/all").status == 422
        assert kari.get("/v1/me").status == 200
