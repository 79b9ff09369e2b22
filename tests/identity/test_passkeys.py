"""Passkeys over HTTP, with an authenticator in software that can lie about everything it signs."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from chally import clock, settings
from tests.support.api import Client, Response
from tests.support.authenticator import BACKED_UP, BACKUP_ELIGIBLE, ES384, PRESENT, VERIFIED, Authenticator, data, text
from tests.support.database import Database
from tests.support.people import SignUp

Mails = Callable[[], list[dict[str, Any]]]
Clock = Callable[[datetime], None]

# What somebody may lie about in either ceremony, and what the refusal speaks of.
LIES: dict[str, tuple[dict[str, Any], str]] = {
    "another origin": ({"origin": "https://evil.test"}, "origin"),
    "an origin that begins like ours": ({"origin": "https://api.test.evil.test"}, "origin"),
    "our host without TLS": ({"origin": "http://api.test"}, "origin"),
    "no text for an origin": ({"origin": ["https://api.test"]}, "origin"),
    "another relying party": ({"rp_id": "evil.test"}, "relying party"),
    "nobody verified": ({"flags": PRESENT}, "verification"),
    "nobody present": ({"flags": VERIFIED}, "presence"),
    "inside a page of another site": ({"cross_origin": True}, "Cross-origin"),
    "inside a page of another site, in words": ({"cross_origin": "true"}, "Cross-origin"),
    "below another site": ({"client_data": {"topOrigin": "https://evil.test"}}, "Cross-origin"),
    "another kind of ceremony": ({"kind": "payment.get"}, "ceremony"),
    "backed up without being able to": ({"flags": PRESENT | VERIFIED | BACKED_UP}, ""),
    "a challenge of its own": ({"challenge": text(b"x" * 32)}, "challenge"),
    "no challenge": ({"challenge": ""}, "Malformed"),
}


def add(who: Client, authenticator: Authenticator, name: str = "Phone", **lies: Any) -> Response:
    """Registers a passkey; `lies` are passed to the authenticator."""
    options = who.post("/v1/me/passkeys/options")
    assert options.status == 200, options.text
    return who.post("/v1/me/passkeys", {"name": name, "attestation": authenticator.create(options.json, **lies)})


def sign_in(who: Client, authenticator: Authenticator, **lies: Any) -> Response:
    options = who.post("/v1/auth/passkey/options")
    assert options.status == 200, options.text
    return who.post("/v1/auth/passkey", {"assertion": authenticator.get(options.json, **lies)})


def acts(database: Database, *, of: Client) -> list[str]:
    found = database.execute("select action from core.audit where user_id = %(id)s order by id", id=of.user["id"])
    return [action for (action,) in found]


class TestRegistering:
    def test_registration_options_request_what_we_verify(self, person: SignUp) -> None:
        kari, known = person("kari"), Authenticator()
        add(kari, known)
        options = kari.post("/v1/me/passkeys/options").json
        assert options["rp"] == {"id": "api.test", "name": "Chally"}
        assert UUID(bytes=data(options["user"]["id"])) == UUID(kari.user["id"])
        assert options["user"]["name"] == "kari"
        assert len(data(options["challenge"])) == 32
        selection = options["authenticatorSelection"]
        assert (selection["residentKey"], selection["userVerification"]) == ("required", "required")
        assert options["excludeCredentials"] == [{"type": "public-key", "id": text(known.credential_id)}]
        assert options["attestation"] == "none"
        assert options["timeout"] == 300_000

    def test_a_new_passkey_is_listed_audited_and_announced_by_mail(
        self, person: SignUp, database: Database, mails: Mails
    ) -> None:
        kari = person("kari")
        added = add(kari, Authenticator(flags=PRESENT | VERIFIED | BACKUP_ELIGIBLE | BACKED_UP), "  My phone ")
        assert added.status == 201, added.text
        assert added.json.keys() == {"id", "name", "created_at", "last_used_at", "backed_up"}
        assert (added.json["name"], added.json["backed_up"], added.json["last_used_at"]) == ("My phone", True, None)
        assert kari.get("/v1/me/passkeys").json == {"items": [added.json], "has_more": False, "next_cursor": None}
        assert "passkey_added" in acts(database, of=kari)
        mail = mails()[-1]
        assert (mail["template"], mail["user_id"]) == ("second_factor_changed", kari.user["id"])
        assert "My phone" in mail["values"]["change"]

    def test_passkeys_are_paged_newest_first(self, person: SignUp) -> None:
        kari = person("kari")
        for name in ("one", "two", "three"):
            assert add(kari, Authenticator(), name).status == 201
        first = kari.get("/v1/me/passkeys", limit=2).json
        second = kari.get("/v1/me/passkeys", limit=2, cursor=first["next_cursor"]).json
        assert [[p["name"] for p in page["items"]] for page in (first, second)] == [["three", "two"], ["one"]]
        assert (first["has_more"], second["has_more"]) == (True, False)

    def test_registering_again_returns_the_same_passkey(self, person: SignUp, mails: Mails) -> None:
        """The response was lost, and the client sends the request again."""
        kari = person("kari")
        body = {"name": "Phone", "attestation": Authenticator().create(kari.post("/v1/me/passkeys/options").json)}
        first = kari.post("/v1/me/passkeys", body)
        told = len(mails())
        again = kari.post("/v1/me/passkeys", body | {"name": "Another name"})
        assert (again.status, again.json) == (201, first.json)
        assert len(mails()) == told
        assert len(kari.get("/v1/me/passkeys").json["items"]) == 1

    def test_a_registered_id_is_refused_with_another_key(self, person: SignUp) -> None:
        kari, mine = person("kari"), Authenticator()
        add(kari, mine)
        other = Authenticator(credential_id=mine.credential_id)
        assert add(kari, other).code == "passkey_taken"
        assert sign_in(kari, other, user_handle=mine.user_handle).code == "passkey_invalid"

    def test_another_users_passkey_is_refused(self, person: SignUp) -> None:
        mine = Authenticator()
        assert add(person("kari"), mine).status == 201
        refused = add(person("thief"), mine)
        assert (refused.status, refused.code) == (409, "passkey_taken")

    def test_a_user_has_at_most_twenty_passkeys(self, person: SignUp, database: Database) -> None:
        kari = person("kari")
        options = kari.post("/v1/me/passkeys/options").json
        database.execute(
            "insert into identity.passkeys"
            " (user_id, credential_id, public_key, sign_count, backed_up, name, created_at)"
            " select %(id)s, uuid_send(uuidv7()), '', 0, false, 'x', now() from generate_series(1, 20)",
            id=kari.user["id"],
        )
        assert kari.post("/v1/me/passkeys/options").code == "too_many_passkeys"
        late = kari.post("/v1/me/passkeys", {"name": "x", "attestation": Authenticator().create(options)})
        assert (late.status, late.code) == (409, "too_many_passkeys")

    @pytest.mark.parametrize("name", ["", "   ", "x" * 61, "\ud800", None])
    def test_a_passkey_needs_a_name(self, person: SignUp, name: object) -> None:
        kari = person("kari")
        attestation = Authenticator().create(kari.post("/v1/me/passkeys/options").json)
        assert kari.post("/v1/me/passkeys", {"name": name, "attestation": attestation}).status == 422

    @pytest.mark.parametrize("what", LIES)
    def test_each_false_statement_is_named_when_registering(self, person: SignUp, what: str) -> None:
        lies, word = LIES[what]
        refused = add(person("kari"), Authenticator(), **lies)
        assert (refused.status, refused.code) == (422, "passkey_invalid"), refused.text
        assert word in refused.json["detail"]

    @pytest.mark.parametrize(
        ("lies", "word"),
        [
            ({"public_key": {1: 2, 3: -7, -1: 1, -2: b"\1" * 32, -3: b"\1" * 32}}, "algorithm"),  # not on the curve
            ({"public_key": {1: 3, 3: -257, -1: b"\xff" * 2000, -2: b"\1\0\1"}}, "algorithm"),  # expensive to verify
            ({"public_key": {1: 2, 3: -65535}}, "algorithm"),
            ({"public_key": {}}, "algorithm"),
            ({"public_key": []}, "algorithm"),
            ({"statement": ("tpm", {})}, "attestation"),
            ({"statement": ("packed", {"x5c": [b"certificate"]})}, "attestation"),
            ({"statement": ("packed", {"sig": b"made up", "alg": -7})}, "signature"),
            ({"statement": ("none", {"sig": b"unasked"})}, "signature"),
            ({"statement": ([], {})}, ""),
            ({"statement": ("none", 7)}, ""),
        ],
    )
    def test_unsupported_keys_and_statements_are_refused(self, person: SignUp, lies: dict[str, Any], word: str) -> None:
        refused = add(person("kari"), Authenticator(), **lies)
        assert (refused.status, refused.code) == (422, "passkey_invalid"), refused.text
        assert word in refused.json["detail"]

    def test_an_algorithm_that_was_not_offered_is_refused(self, person: SignUp) -> None:
        refused = add(person("kari"), Authenticator(algorithm=ES384))
        assert (refused.status, refused.code) == (422, "passkey_invalid")
        assert "algorithm" in refused.json["detail"]

    def test_self_attestation_is_accepted(self, person: SignUp) -> None:
        assert add(person("kari"), Authenticator(), statement=("packed", {})).status == 201

    def test_an_id_that_differs_from_the_attested_one_is_refused(self, person: SignUp) -> None:
        kari = person("kari")
        attestation = Authenticator().create(kari.post("/v1/me/passkeys/options").json)
        attestation |= {"id": text(b"another"), "rawId": text(b"another")}
        refused = kari.post("/v1/me/passkeys", {"name": "x", "attestation": attestation})
        assert (refused.status, refused.code) == (422, "passkey_invalid")
        assert "credential" in refused.json["detail"]

    def test_a_registration_challenge_is_single_use_even_if_refused(self, person: SignUp) -> None:
        kari = person("kari")
        options = kari.post("/v1/me/passkeys/options").json
        lie = {"name": "x", "attestation": Authenticator().create(options, origin="https://evil.test")}
        assert "origin" in kari.post("/v1/me/passkeys", lie).json["detail"]
        late = kari.post("/v1/me/passkeys", {"name": "x", "attestation": Authenticator().create(options)})
        assert (late.status, late.code) == (422, "passkey_invalid")
        assert "challenge" in late.json["detail"]
        assert kari.get("/v1/me/passkeys").json["items"] == []

    def test_a_registration_challenge_is_valid_for_its_user_only(self, person: SignUp) -> None:
        kari, thief, mine = person("kari"), person("thief"), Authenticator()
        options = kari.post("/v1/me/passkeys/options").json
        body = {"name": "x", "attestation": mine.create(options)}
        assert "challenge" in thief.post("/v1/me/passkeys", body).json["detail"]
        assert kari.post("/v1/me/passkeys", body).status == 201  # nobody else has consumed it

    def test_a_sign_in_challenge_registers_nothing(self, person: SignUp) -> None:
        kari = person("kari")
        options = kari.post("/v1/me/passkeys/options").json
        options["challenge"] = kari.post("/v1/auth/passkey/options").json["challenge"]
        refused = kari.post("/v1/me/passkeys", {"name": "x", "attestation": Authenticator().create(options)})
        assert "challenge" in refused.json["detail"]

    def test_a_registration_challenge_is_valid_for_five_minutes(self, person: SignUp, at: Clock) -> None:
        kari, now = person("kari"), clock.now()
        at(now)
        soon, late = (kari.post("/v1/me/passkeys/options").json for _ in range(2))
        at(now + timedelta(minutes=4, seconds=59))
        body = {"name": "x", "attestation": Authenticator().create(soon)}
        assert kari.post("/v1/me/passkeys", body).status == 201
        at(now + timedelta(minutes=5))
        refused = kari.post("/v1/me/passkeys", {"name": "x", "attestation": Authenticator().create(late)})
        assert (refused.status, refused.code) == (422, "passkey_invalid")
        assert "Expired challenge" in refused.json["detail"]

    def test_registering_requires_a_fresh_sign_in(self, person: SignUp, at: Clock) -> None:
        kari = person("kari")
        added = add(kari, Authenticator()).json
        attestation = Authenticator().create(kari.post("/v1/me/passkeys/options").json)
        at(clock.now() + timedelta(minutes=10, seconds=5))
        for response in (
            kari.post("/v1/me/passkeys/options"),
            kari.post("/v1/me/passkeys", {"name": "x", "attestation": attestation}),
            kari.delete(f"/v1/me/passkeys/{added['id']}"),
        ):
            assert (response.status, response.code) == (403, "step_up_required")
        assert kari.get("/v1/me/passkeys").json["items"] == [added]

    def test_registration_options_are_rate_limited(self, person: SignUp, at: Clock) -> None:
        kari = person("kari")
        at(clock.now())
        responses = [kari.post("/v1/me/passkeys/options") for _ in range(21)]
        assert [response.status for response in responses] == [200] * 20 + [429]
        assert int(responses[-1].headers["retry-after"]) <= 180


class TestWhoMay:
    def test_anonymous_callers_have_no_passkeys(self, nobody: Client, person: SignUp) -> None:
        passkey_id = add(person("kari"), Authenticator()).json["id"]
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
        passkey = add(kari, Authenticator()).json
        assert stranger.get("/v1/me/passkeys").json["items"] == []
        assert stranger.delete(f"/v1/me/passkeys/{passkey['id']}").status == 404
        assert kari.get("/v1/me/passkeys").json["items"] == [passkey]

    def test_a_removed_passkey_does_not_sign_in(self, person: SignUp, database: Database, mails: Mails) -> None:
        kari, mine = person("kari"), Authenticator()
        path = f"/v1/me/passkeys/{add(kari, mine, 'Old phone').json['id']}"
        assert kari.delete(path).status == 204
        assert kari.delete(path).status == 404
        refused = sign_in(kari, mine)
        assert (refused.status, refused.code) == (401, "passkey_invalid")
        assert "Unknown passkey" in refused.json["detail"]
        assert acts(database, of=kari)[-1] == "passkey_removed"
        assert "Old phone" in mails()[-1]["values"]["change"]

    def test_a_session_has_two_factors_only_while_the_user_has_one(
        self, nobody: Client, person: SignUp, database: Database
    ) -> None:
        """An admin who removes their only passkey must lose the rights that require a second factor."""
        kari, mine = person("kari"), Authenticator()
        path = f"/v1/me/passkeys/{add(kari, mine).json['id']}"
        sign_in(nobody, mine)
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
        add(kari, mine)
        database.execute(
            "insert into identity.totp (user_id, sealed_secret, created_at, confirmed_at)"
            " values (%(id)s, '', now(), now())",
            id=kari.user["id"],
        )
        session = sign_in(nobody, mine, origin="https://club.api.test")
        assert session.status == 200, session.text
        assert session.json["user"]["id"] == kari.user["id"]
        again = Client(session.json["access_token"])
        assert again.get("/v1/me").json["username"] == "kari"
        assert again.get("/v1/me/passkeys").json["items"][0]["last_used_at"]
        (latest,) = database.execute("select second_factor from identity.sessions order by id desc limit 1")
        assert latest == (True,)
        assert acts(database, of=kari)[-1] == "signed_in"

    def test_a_passkey_does_not_make_a_second_factor_mandatory(self, nobody: Client, person: SignUp) -> None:
        add(person("kari"), Authenticator())
        assert nobody.post("/v1/auth/login", {"login": "kari", "password": "long enough for us"}).status == 200

    def test_a_passkey_can_set_cookies(self, nobody: Client, person: SignUp) -> None:
        mine = Authenticator()
        add(person("kari"), mine)
        nobody.headers["x-session-transport"] = "cookie"
        session = sign_in(nobody, mine)
        assert session.status == 200, session.text
        assert "access_token" not in session.json
        assert nobody.cookies.keys() == {"__Host-access", "__Host-refresh", "__Host-csrf"}
        assert nobody.get("/v1/me").json["username"] == "kari"

    def test_a_passkey_whose_flags_change_still_signs_in(self, nobody: Client, person: SignUp) -> None:
        kari, mine = person("kari"), Authenticator(flags=PRESENT | VERIFIED | BACKUP_ELIGIBLE)
        assert add(kari, mine).json["backed_up"] is False
        assert sign_in(nobody, mine, flags=mine.flags | BACKED_UP).status == 200
        assert kari.get("/v1/me/passkeys").json["items"][0]["backed_up"] is True

    def test_an_authenticator_without_a_counter_signs_in_repeatedly(self, nobody: Client, person: SignUp) -> None:
        mine = Authenticator(counts=False)
        add(person("kari"), mine)
        assert [sign_in(nobody, mine).status for _ in range(3)] == [200, 200, 200]

    @pytest.mark.parametrize("what", LIES)
    def test_each_false_statement_is_named_when_signing_in(self, nobody: Client, person: SignUp, what: str) -> None:
        lies, word = LIES[what]
        mine = Authenticator()
        add(person("kari"), mine)
        refused = sign_in(nobody, mine, **lies)
        assert (refused.status, refused.code) == (401, "passkey_invalid"), refused.text
        assert word in refused.json["detail"]
        assert sign_in(nobody, mine).status == 200

    def test_a_registration_response_does_not_sign_in(self, nobody: Client, person: SignUp) -> None:
        mine = Authenticator()
        add(person("kari"), mine)
        refused = sign_in(nobody, mine, kind="webauthn.create")
        assert (refused.status, refused.code) == (401, "passkey_invalid")
        assert "ceremony" in refused.json["detail"]

    def test_another_users_handle_is_refused(self, nobody: Client, person: SignUp) -> None:
        mine, other = Authenticator(), Authenticator()
        add(person("kari"), mine)
        add(person("other"), other)
        for handle in (other.user_handle, b"x", mine.user_handle + b"x"):
            refused = sign_in(nobody, mine, user_handle=handle)
            assert (refused.status, refused.code) == (401, "passkey_invalid")
            assert "user handle" in refused.json["detail"]

    def test_another_key_for_a_known_credential_is_refused(self, nobody: Client, person: SignUp) -> None:
        """The thief's authenticator signs, and names another user's credential."""
        mine, thief = Authenticator(), Authenticator()
        add(person("kari"), mine)
        add(person("thief"), thief)
        thief.credential_id, thief.user_handle = mine.credential_id, mine.user_handle
        refused = sign_in(nobody, thief)
        assert (refused.status, refused.code) == (401, "passkey_invalid")
        assert "signature" in refused.json["detail"]

    def test_a_clone_is_refused_and_audited(self, nobody: Client, person: SignUp, database: Database) -> None:
        kari, mine = person("kari"), Authenticator(count=7)
        add(kari, mine)
        assert sign_in(nobody, mine).status == 200
        for count in (8, 3, 0):
            refused = sign_in(nobody, mine, count=count)
            assert (refused.status, refused.code) == (401, "passkey_invalid")
            assert "Cloned" in refused.json["detail"]
        assert acts(database, of=kari).count("passkey_cloned") == 3
        mine.count = 8
        assert sign_in(nobody, mine).status == 200  # the refused counter was not stored

    def test_an_unsigned_response_reports_no_clone(self, nobody: Client, person: SignUp, database: Database) -> None:
        """A caller who cannot sign must not add to another user's audit log."""
        kari, mine = person("kari"), Authenticator(count=7)
        add(kari, mine)
        assert sign_in(nobody, mine, count=1, signature=b"made up").status == 401
        assert "passkey_cloned" not in acts(database, of=kari)

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
        add(person("kari"), mine)
        options = nobody.post("/v1/auth/passkey/options").json
        assertion = mine.get(options)
        assert nobody.post("/v1/auth/passkey", {"assertion": assertion}).status == 200
        for replayed in (assertion, mine.get(options)):
            refused = nobody.post("/v1/auth/passkey", {"assertion": replayed})
            assert (refused.status, refused.code) == (401, "passkey_invalid")
            assert "Unknown challenge" in refused.json["detail"]

    def test_a_refused_response_consumes_the_challenge(self, nobody: Client, person: SignUp) -> None:
        mine = Authenticator()
        add(person("kari"), mine)
        options = nobody.post("/v1/auth/passkey/options").json
        assert nobody.post("/v1/auth/passkey", {"assertion": mine.get(options, signature=b"x")}).status == 401
        late = nobody.post("/v1/auth/passkey", {"assertion": mine.get(options)})
        assert "Unknown challenge" in late.json["detail"]

    def test_a_registration_challenge_does_not_sign_in(self, nobody: Client, person: SignUp) -> None:
        kari, mine = person("kari"), Authenticator()
        add(kari, mine)
        challenge = kari.post("/v1/me/passkeys/options").json["challenge"]
        refused = nobody.post("/v1/auth/passkey", {"assertion": mine.get({"challenge": challenge, "rpId": "api.test"})})
        assert (refused.status, refused.code) == (401, "passkey_invalid")
        assert "Unknown challenge" in refused.json["detail"]

    def test_a_sign_in_challenge_is_valid_for_five_minutes(self, nobody: Client, person: SignUp, at: Clock) -> None:
        mine = Authenticator()
        add(person("kari"), mine)
        at(now := clock.now())
        options = nobody.post("/v1/auth/passkey/options").json
        at(now + timedelta(minutes=5))
        refused = nobody.post("/v1/auth/passkey", {"assertion": mine.get(options)})
        assert (refused.status, refused.code) == (401, "passkey_invalid")
        assert "Expired challenge" in refused.json["detail"]

    def test_nothing_secret_is_logged(self, nobody: Client, person: SignUp, logs: Callable[[], str]) -> None:
        mine = Authenticator()
        add(person("kari"), mine)
        assertion = mine.get(nobody.post("/v1/auth/passkey/options").json)
        assert nobody.post("/v1/auth/passkey", {"assertion": assertion}).status == 200
        for secret in (assertion["rawId"], assertion["response"]["signature"], assertion["response"]["clientDataJSON"]):
            assert secret not in logs()
