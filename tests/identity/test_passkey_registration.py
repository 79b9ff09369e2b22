"""Registering passkeys over HTTP, with an authenticator in software that can lie about everything it signs."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from chally import clock
from tests.support.authenticator import BACKED_UP, BACKUP_ELIGIBLE, ES384, PRESENT, VERIFIED, Authenticator, data, text
from tests.support.database import Database
from tests.support.passkeys import LIES, audited_actions_of, register_passkey, sign_in_by_passkey
from tests.support.people import SignUp

Mails = Callable[[], list[dict[str, Any]]]
Clock = Callable[[datetime], None]


class TestRegistering:
    def test_registration_options_request_what_we_verify(self, person: SignUp) -> None:
        kari, known = person("kari"), Authenticator()
        register_passkey(kari, known)
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
        added = register_passkey(
            kari, Authenticator(flags=PRESENT | VERIFIED | BACKUP_ELIGIBLE | BACKED_UP), "  My phone "
        )
        assert added.status == 201, added.text
        assert added.json.keys() == {"id", "name", "created_at", "last_used_at", "backed_up"}
        assert (added.json["name"], added.json["backed_up"], added.json["last_used_at"]) == ("My phone", True, None)
        assert kari.get("/v1/me/passkeys").json == {"items": [added.json], "has_more": False, "next_cursor": None}
        assert "passkey_added" in audited_actions_of(database, kari)
        mail = mails()[-1]
        assert (mail["template"], mail["user_id"]) == ("passkey_added", kari.user["id"])
        assert mail["values"] == {"name": "My phone"}

    def test_passkeys_are_paged_newest_first(self, person: SignUp) -> None:
        kari = person("kari")
        for name in ("one", "two", "three"):
            assert register_passkey(kari, Authenticator(), name).status == 201
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
        register_passkey(kari, mine)
        other = Authenticator(credential_id=mine.credential_id)
        assert register_passkey(kari, other).code == "passkey_taken"
        assert sign_in_by_passkey(kari, other, user_handle=mine.user_handle).code == "passkey_invalid"

    def test_another_users_passkey_is_refused(self, person: SignUp) -> None:
        mine = Authenticator()
        assert register_passkey(person("kari"), mine).status == 201
        refused = register_passkey(person("thief"), mine)
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

    @pytest.mark.parametrize("name", ["", "   ", "\u200b\u2060", "\u202e\u0007", "\u00a0\n", "x" * 61, "\ud800", None])
    def test_a_passkey_needs_a_name(self, person: SignUp, name: object) -> None:
        kari = person("kari")
        attestation = Authenticator().create(kari.post("/v1/me/passkeys/options").json)
        assert kari.post("/v1/me/passkeys", {"name": name, "attestation": attestation}).status == 422

    @pytest.mark.parametrize("what", LIES)
    def test_each_false_statement_is_named_when_registering(self, person: SignUp, what: str) -> None:
        lies, word = LIES[what]
        refused = register_passkey(person("kari"), Authenticator(), **lies)
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
        refused = register_passkey(person("kari"), Authenticator(), **lies)
        assert (refused.status, refused.code) == (422, "passkey_invalid"), refused.text
        assert word in refused.json["detail"]

    def test_an_algorithm_that_was_not_offered_is_refused(self, person: SignUp) -> None:
        refused = register_passkey(person("kari"), Authenticator(algorithm=ES384))
        assert (refused.status, refused.code) == (422, "passkey_invalid")
        assert "algorithm" in refused.json["detail"]

    def test_self_attestation_is_accepted(self, person: SignUp) -> None:
        assert register_passkey(person("kari"), Authenticator(), statement=("packed", {})).status == 201

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
        added = register_passkey(kari, Authenticator()).json
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
