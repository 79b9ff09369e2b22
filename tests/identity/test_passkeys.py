"""Signing in by passkey over HTTP, with an authenticator in software that can lie about everything it signs."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chally import clock, settings
from tests.support.api import Client
from tests.support.authenticator import BACKED_UP, BACKUP_ELIGIBLE, PRESENT, VERIFIED, Authenticator
from tests.support.database import Database
from tests.support.passkeys import LIES, audited_actions_of, register_passkey, sign_in_by_passkey
from tests.support.people import SignUp

Mails = Callable[[], list[dict[str, Any]]]
Clock = Callable[[datetime], None]


class TestWhoMay:
    def test_anonymous_callers_have_no_passkeys(self, nobody: Client, person: SignUp) -> None:
        passkey_id = register_passkey(person("kari"), Authenticator()).json["id"]
        for method, path in (
            ("POST", "/v1/me/passkeys/options"),
            ("POST", "/v1/me/passkeys"),
            ("GET", "/v1/me/passkeys"),
            ("DELETE", f"/v1/me/passkeys/{passkey_id}"),
        ):
            response = nobody.call(method, path, body={"name": "x", "attestation": {}} if method == "POST" else None)
            assert (response.status, response.code) == (401, "unauthenticated"), path

    def test_other_users_neither_see_nor_remove_a_passkey(self, person: SignUp) -> None:
        kari, stranger = person("kari"), person("stranger")
        passkey = register_passkey(kari, Authenticator()).json
        assert stranger.get("/v1/me/passkeys").json["items"] == []
        assert stranger.delete(f"/v1/me/passkeys/{passkey['id']}").status == 404
        assert kari.get("/v1/me/passkeys").json["items"] == [passkey]

    def test_a_removed_passkey_does_not_sign_in(self, person: SignUp, database: Database, mails: Mails) -> None:
        kari, mine = person("kari"), Authenticator()
        path = f"/v1/me/passkeys/{register_passkey(kari, mine, 'Old phone').json['id']}"
        assert kari.delete(path).status == 204
        assert kari.delete(path).status == 404
        refused = sign_in_by_passkey(kari, mine)
        assert (refused.status, refused.code) == (401, "passkey_invalid")
        assert "Unknown passkey" in refused.json["detail"]
        assert audited_actions_of(database, kari)[-1] == "passkey_removed"
        assert mails()[-1]["values"]["name"] == "Old phone"

    def test_a_session_has_two_factors_only_while_the_user_has_one(
        self, nobody: Client, person: SignUp, database: Database
    ) -> None:
        """An admin who removes their only passkey must lose the rights that require a second factor."""
        kari, mine = person("kari"), Authenticator()
        path = f"/v1/me/passkeys/{register_passkey(kari, mine).json['id']}"
        sign_in_by_passkey(nobody, mine)
        assert database.execute("select count(*) from identity.sessions where second_factor") == [(1,)]
        assert kari.delete(path).status == 204
        assert database.execute("select count(*) from identity.sessions where second_factor") == [(0,)]


class TestSigningIn:
    def test_sign_in_options_name_no_credential(self, nobody: Client) -> None:
        options = nobody.post("/v1/auth/passkey/options").json
        assert options.keys() == {"rpId", "challenge", "timeout", "allowCredentials", "userVerification"}
        assert (options["rpId"], options["allowCredentials"]) == ("api.test", [])
        assert options["userVerification"] == "required"
        assert options["challenge"] != nobody.post("/v1/auth/passkey/options").json["challenge"]

    def test_a_passkey_counts_as_both_factors(self, nobody: Client, person: SignUp, database: Database) -> None:
        kari, mine = person("kari"), Authenticator()
        register_passkey(kari, mine)
        database.execute(
            "insert into identity.totp (user_id, sealed_secret, created_at, confirmed_at)"
            " values (%(id)s, '', now(), now())",
            id=kari.user["id"],
        )
        session = sign_in_by_passkey(nobody, mine, origin="https://club.api.test")
        assert session.status == 200, session.text
        assert session.json["user"]["id"] == kari.user["id"]
        again = Client(session.json["access_token"])
        assert again.get("/v1/me").json["username"] == "kari"
        assert again.get("/v1/me/passkeys").json["items"][0]["last_used_at"]
        (latest,) = database.execute("select second_factor from identity.sessions order by id desc limit 1")
        assert latest == (True,)
        assert audited_actions_of(database, kari)[-1] == "signed_in"

    def test_a_passkey_does_not_make_a_second_factor_mandatory(self, nobody: Client, person: SignUp) -> None:
        register_passkey(person("kari"), Authenticator())
        assert nobody.post("/v1/auth/login", {"login": "kari", "password": "long enough for us"}).status == 200

    def test_a_passkey_can_set_cookies(self, nobody: Client, person: SignUp) -> None:
        mine = Authenticator()
        register_passkey(person("kari"), mine)
        nobody.headers["x-session-transport"] = "cookie"
        session = sign_in_by_passkey(nobody, mine)
        assert session.status == 200, session.text
        assert "access_token" not in session.json
        assert nobody.cookies.keys() == {"__Host-access", "__Host-refresh", "__Host-csrf"}
        assert nobody.get("/v1/me").json["username"] == "kari"

    def test_a_passkey_whose_flags_change_still_signs_in(self, nobody: Client, person: SignUp) -> None:
        kari, mine = person("kari"), Authenticator(flags=PRESENT | VERIFIED | BACKUP_ELIGIBLE)
        assert register_passkey(kari, mine).json["backed_up"] is False
        assert sign_in_by_passkey(nobody, mine, flags=mine.flags | BACKED_UP).status == 200
        assert kari.get("/v1/me/passkeys").json["items"][0]["backed_up"] is True

    def test_an_authenticator_without_a_counter_signs_in_repeatedly(self, nobody: Client, person: SignUp) -> None:
        mine = Authenticator(counts=False)
        register_passkey(person("kari"), mine)
        assert [sign_in_by_passkey(nobody, mine).status for _ in range(3)] == [200, 200, 200]

    @pytest.mark.parametrize("what", LIES)
    def test_each_false_statement_is_named_when_signing_in(self, nobody: Client, person: SignUp, what: str) -> None:
        lies, word = LIES[what]
        mine = Authenticator()
        register_passkey(person("kari"), mine)
        refused = sign_in_by_passkey(nobody, mine, **lies)
        assert (refused.status, refused.code) == (401, "passkey_invalid"), refused.text
        assert word in refused.json["detail"]
        assert sign_in_by_passkey(nobody, mine).status == 200

    def test_a_registration_response_does_not_sign_in(self, nobody: Client, person: SignUp) -> None:
        mine = Authenticator()
        register_passkey(person("kari"), mine)
        refused = sign_in_by_passkey(nobody, mine, kind="webauthn.create")
        assert (refused.status, refused.code) == (401, "passkey_invalid")
        assert "ceremony" in refused.json["detail"]

    def test_another_users_handle_is_refused(self, nobody: Client, person: SignUp) -> None:
        mine, other = Authenticator(), Authenticator()
        register_passkey(person("kari"), mine)
        register_passkey(person("other"), other)
        for handle in (other.user_handle, b"x", mine.user_handle + b"x"):
            refused = sign_in_by_passkey(nobody, mine, user_handle=handle)
            assert (refused.status, refused.code) == (401, "passkey_invalid")
            assert "user handle" in refused.json["detail"]

    def test_another_key_for_a_known_credential_is_refused(self, nobody: Client, person: SignUp) -> None:
        """The thief's authenticator signs, and names another user's credential."""
        mine, thief = Authenticator(), Authenticator()
        register_passkey(person("kari"), mine)
        register_passkey(person("thief"), thief)
        thief.credential_id, thief.user_handle = mine.credential_id, mine.user_handle
        refused = sign_in_by_passkey(nobody, thief)
        assert (refused.status, refused.code) == (401, "passkey_invalid")
        assert "signature" in refused.json["detail"]

    def test_a_clone_is_refused_and_audited(self, nobody: Client, person: SignUp, database: Database) -> None:
        kari, mine = person("kari"), Authenticator(count=7)
        register_passkey(kari, mine)
        assert sign_in_by_passkey(nobody, mine).status == 200
        for count in (8, 3, 0):
            refused = sign_in_by_passkey(nobody, mine, count=count)
            assert (refused.status, refused.code) == (401, "passkey_invalid")
            assert "Cloned" in refused.json["detail"]
        assert audited_actions_of(database, kari).count("passkey_cloned") == 3
        mine.count = 8
        assert sign_in_by_passkey(nobody, mine).status == 200  # the refused counter was not stored

    def test_an_unsigned_response_reports_no_clone(self, nobody: Client, person: SignUp, database: Database) -> None:
        """A caller who cannot sign must not add to another user's audit log."""
        kari, mine = person("kari"), Authenticator(count=7)
        register_passkey(kari, mine)
        assert sign_in_by_passkey(nobody, mine, count=1, signature=b"made up").status == 401
        assert "passkey_cloned" not in audited_actions_of(database, kari)

    def test_sign_in_attempts_are_rate_limited(
        self, nobody: Client, at: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CHALLY_STAGE", "prod")  # the local stage lifts limits per network
        settings.load.cache_clear()
        at(clock.now())
        for _ in range(30):
            assert nobody.post("/v1/auth/passkey/options").status == 200
            assert nobody.post("/v1/auth/passkey", {"assertion": {}}).status == 401
        assert nobody.post("/v1/auth/passkey/options").code == "rate_limited"
        refused = nobody.post("/v1/auth/passkey", {"assertion": {}})
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        nobody.ip = "198.51.100.1"
        assert nobody.post("/v1/auth/passkey/options").status == 200

    def test_a_sign_in_challenge_is_single_use(self, nobody: Client, person: SignUp) -> None:
        mine = Authenticator()
        register_passkey(person("kari"), mine)
        options = nobody.post("/v1/auth/passkey/options").json
        assertion = mine.get(options)
        assert nobody.post("/v1/auth/passkey", {"assertion": assertion}).status == 200
        for replayed in (assertion, mine.get(options)):
            refused = nobody.post("/v1/auth/passkey", {"assertion": replayed})
            assert (refused.status, refused.code) == (401, "passkey_invalid")
            assert "Unknown challenge" in refused.json["detail"]

    def test_a_refused_response_consumes_the_challenge(self, nobody: Client, person: SignUp) -> None:
        mine = Authenticator()
        register_passkey(person("kari"), mine)
        options = nobody.post("/v1/auth/passkey/options").json
        assert nobody.post("/v1/auth/passkey", {"assertion": mine.get(options, signature=b"x")}).status == 401
        late = nobody.post("/v1/auth/passkey", {"assertion": mine.get(options)})
        assert "Unknown challenge" in late.json["detail"]

    def test_a_registration_challenge_does_not_sign_in(self, nobody: Client, person: SignUp) -> None:
        kari, mine = person("kari"), Authenticator()
        register_passkey(kari, mine)
        challenge = kari.post("/v1/me/passkeys/options").json["challenge"]
        refused = nobody.post("/v1/auth/passkey", {"assertion": mine.get({"challenge": challenge, "rpId": "api.test"})})
        assert (refused.status, refused.code) == (401, "passkey_invalid")
        assert "Unknown challenge" in refused.json["detail"]

    def test_a_sign_in_challenge_is_valid_for_five_minutes(self, nobody: Client, person: SignUp, at: Clock) -> None:
        mine = Authenticator()
        register_passkey(person("kari"), mine)
        at(now := clock.now())
        options = nobody.post("/v1/auth/passkey/options").json
        at(now + timedelta(minutes=5))
        refused = nobody.post("/v1/auth/passkey", {"assertion": mine.get(options)})
        assert (refused.status, refused.code) == (401, "passkey_invalid")
        assert "Expired challenge" in refused.json["detail"]

    def test_nothing_secret_is_logged(self, nobody: Client, person: SignUp, logs: Callable[[], str]) -> None:
        mine = Authenticator()
        register_passkey(person("kari"), mine)
        assertion = mine.get(nobody.post("/v1/auth/passkey/options").json)
        assert nobody.post("/v1/auth/passkey", {"assertion": assertion}).status == 200
        for secret in (assertion["rawId"], assertion["response"]["signature"], assertion["response"]["clientDataJSON"]):
            assert secret not in logs()
