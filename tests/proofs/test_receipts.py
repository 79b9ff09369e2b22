"""Receipts: what they state, who gets them, and that anyone can verify them with the published keys."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest

from chally import aws, clock, db, settings
from identity import jobs
from identity.receipt_key import ReceiptKey
from infra.tools.bootstrap import ROOT
from proofs import personal_data, receipts
from proofs.receipts import InvalidReceipt, Receipt
from tests.support.api import Client, LambdaContext, Response
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.environment import PUBLIC_URL
from tests.support.people import SignUp

PROOF = {
    *("challenge_id", "participant_id", "kind", "local_date", "opens_at", "closes_at", "timezone", "tzdata"),
    *("sha256", "stored_at", "decided_at", "status", "reasons", "review"),
}


@pytest.fixture
def send(person: SignUp) -> Callable[..., tuple[Client, dict[str, Any]]]:
    """A text or a number, sent by the owner of a challenge."""

    def prove(value: str | float = "I ran", **terms: Any) -> tuple[Client, dict[str, Any]]:
        prover = person("prover")
        body = challenge_body(clock.now())
        body["rules"]["proof"] = {"kind": "text" if isinstance(value, str) else "number", **terms}
        challenge = prover.post("/v1/challenges", body).json
        sent = prover.post(f"/v1/challenges/{challenge['id']}/proofs", {"value": value})
        assert sent.status == 201, sent.text
        return prover, sent.json["proof"]

    return prove


def ask(client: Client, proof: dict[str, Any]) -> Response:
    return client.get(f"/v1/proofs/{proof['id']}/receipt")


def receipt(client: Client, proof: dict[str, Any]) -> str:
    response = ask(client, proof)
    assert response.status == 200, response.text
    assert response.headers["content-type"] == "application/jose"
    return response.text


def key_set() -> Any:
    return Client().get("/.well-known/jwks.json").json


def claims(text: str) -> dict[str, Any]:
    said: dict[str, Any] = jwt.decode(text, options={"verify_signature": False})
    return said


class TestContent:
    def test_the_receipt_of_a_text_states_its_facts(
        self, send: Callable[..., tuple[Client, dict[str, Any]]], database: Database
    ) -> None:
        prover, proof = send("J'ai couru à six heures")
        text = receipt(prover, proof)
        header = jwt.get_unverified_header(text)
        assert set(header) == {"alg", "kid", "typ"}
        assert (header["alg"], header["typ"]) == ("ES256", "chally-receipt+jwt")
        said = claims(text)
        assert said.keys() == {"iss", "iat", "sub", "proof"}
        assert (said["iss"], said["sub"]) == (PUBLIC_URL, proof["id"])
        ((timezone, tzdata),) = database.execute("select timezone, tzdata from proofs.proofs")
        assert tzdata
        assert said["proof"] == {
            "challenge_id": proof["challenge_id"],
            "participant_id": proof["participant_id"],
            "kind": "text",
            "local_date": proof["local_date"],
            "opens_at": proof["opens_at"],
            "closes_at": proof["closes_at"],
            "timezone": timezone,
            "tzdata": tzdata,
            "sha256": hashlib.sha256("J'ai couru à six heures".encode()).hexdigest(),
            "stored_at": proof["created_at"],
            "decided_at": proof["decided_at"],
            "status": "accepted",
            "reasons": [],
            "review": None,
        }
        for each in ("opens_at", "closes_at", "stored_at", "decided_at"):
            assert said["proof"][each].endswith("Z")

    def test_the_receipt_of_a_photo_states_its_facts(
        self, send: Callable[..., tuple[Client, dict[str, Any]]], database: Database, logs: Callable[[], str]
    ) -> None:
        prover, proof = send()
        stored_at = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
        database.execute(
            "update proofs.proofs set kind = 'photo', value_text = null, content_type = 'image/jpeg',"
            " content_length = 1, sha256 = sha256('x'), object_key = 'uploads/a', stored_at = %(stored_at)s,"
            " status = 'rejected', note = 'Anna, at home', captured_at = now(),"
            """ reasons = '[{"code": "duplicate_image", "detail": "This very file has been a proof before."}]'""",
            stored_at=stored_at,
        )
        text = receipt(prover, proof)
        said = claims(text)["proof"]
        assert said["sha256"] == hashlib.sha256(b"x").hexdigest()
        assert (said["kind"], said["stored_at"]) == ("photo", "2026-11-20T06:00:00Z")
        assert (said["status"], said["reasons"]) == ("rejected", ["duplicate_image"])
        assert said.keys() == PROOF
        plain = json.dumps(claims(text))
        for private in ("prover", "Anna", "before", "uploads/", "captured"):
            assert private not in plain
        assert text not in logs()

    @pytest.mark.parametrize(
        ("value", "digits"),
        [
            (12.0, "12"), (12.5, "12.5"), (0.000001, "0.000001"), (1e-7, "0.0000001"), (-0.0, "0"), (0.1, "0.1"),
            (100.0, "100"), (999_999_999_999.0, "999999999999"), (-3.25, "-3.25"), (1 / 3, "0.3333333333333333"),
        ],
    )  # fmt: skip
    def test_a_number_is_hashed_in_plain_decimal_digits(self, value: float, digits: str) -> None:
        assert receipts.value_digest(value) == hashlib.sha256(digits.encode()).hexdigest()

    def test_the_reasons_do_not_quote_the_value(self, send: Callable[..., tuple[Client, dict[str, Any]]]) -> None:
        prover, proof = send(4711, target=10_000)
        said = claims(receipt(prover, proof))["proof"]
        assert (said["status"], said["reasons"]) == ("rejected", ["below_target"])
        assert said["sha256"] == hashlib.sha256(b"4711").hexdigest()
        assert not any("of 10000" in str(each) for each in said.values())

    def test_a_changed_verdict_gives_another_receipt(
        self, send: Callable[..., tuple[Client, dict[str, Any]]], person: SignUp, database: Database
    ) -> None:
        prover, proof = send()
        before = receipt(prover, proof)
        moderator = person("judge")
        database.execute("update identity.users set role = 'moderator' where username = 'judge'")
        database.execute("update identity.sessions set second_factor = true")
        decision = {"decision": "reject", "reason": "Kari was not there."}
        assert moderator.post(f"/v1/proofs/{proof['id']}/review", decision).status == 200
        after = receipt(prover, proof)
        assert claims(before)["proof"]["status"] == "accepted"
        said = claims(after)["proof"]
        assert said["status"] == "rejected"
        assert said["review"] == {"decision": "reject", "reviewed_at": said["decided_at"]}
        assert "Kari" not in json.dumps(said)
        for text in (before, after):
            receipts.verify(text, key_set())  # the earlier receipt stays valid

    def test_the_receipt_of_a_deleted_account_has_no_hash(
        self, send: Callable[..., tuple[Client, dict[str, Any]]], database: Database, person: SignUp
    ) -> None:
        prover, proof = send(7)
        moderator = person("judge")
        database.execute("update identity.users set role = 'moderator' where username = 'judge'")
        database.execute("update identity.sessions set second_factor = true")
        assert claims(receipt(moderator, proof))["proof"]["sha256"]
        database.execute("update identity.users set deleted_at = now() where username = 'prover'")
        with db.as_system("test") as tx:
            personal_data.forget(tx, UUID(prover.user["id"]))
        said = claims(receipt(moderator, proof))["proof"]
        assert (said["sha256"], said["status"]) == (None, "accepted")


class TestAccess:
    @pytest.mark.parametrize("status", ["accepted", "rejected", "needs_review", "replaced"])
    def test_every_verdict_has_a_receipt(
        self, send: Callable[..., tuple[Client, dict[str, Any]]], database: Database, status: str
    ) -> None:
        prover, proof = send()
        database.execute("update proofs.proofs set status = %(status)s", status=status)
        assert claims(receipt(prover, proof))["proof"]["status"] == status

    @pytest.mark.parametrize("status", ["awaiting_upload", "processing"])
    def test_a_proof_without_a_verdict_has_no_receipt(
        self, send: Callable[..., tuple[Client, dict[str, Any]]], database: Database, status: str
    ) -> None:
        prover, proof = send()
        database.execute("update proofs.proofs set status = %(status)s, decided_at = null", status=status)
        response = ask(prover, proof)
        assert (response.status, response.code) == (409, "not_decided")
        assert status.replace("_", " ") in response.json["detail"]

    def test_an_expired_proof_has_no_receipt(
        self, send: Callable[..., tuple[Client, dict[str, Any]]], database: Database
    ) -> None:
        prover, proof = send()
        database.execute(
            "update proofs.proofs set status = 'awaiting_upload', created_at = now() - interval '16 minutes'"
        )
        response = ask(prover, proof)
        assert response.code == "not_decided"
        assert "expired" in response.json["detail"]

    def test_strangers_get_no_receipt(
        self, send: Callable[..., tuple[Client, dict[str, Any]]], person: SignUp, nobody: Client
    ) -> None:
        _, proof = send()
        stranger = person("stranger")
        assert ask(nobody, proof).status == 401
        responses = [ask(stranger, each) for each in (proof, {"id": "0" * 8 + proof["id"][8:]})]
        assert [(each.status, each.code) for each in responses] == [(404, "not_found")] * 2

    def test_a_receipt_is_unavailable_while_secrets_manager_is_down(
        self, send: Callable[..., tuple[Client, dict[str, Any]]]
    ) -> None:
        prover, proof = send()
        secret = settings.load(settings.ProofsSettings).receipt_secret_arn
        aws.client("secretsmanager").delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
        response = ask(prover, proof)
        assert (response.status, response.headers["retry-after"]) == (503, "1")


def turn(**event: object) -> dict[str, str]:
    context: Any = LambdaContext()
    return jobs.signing_keys_handler(event, context)


class TestKeys:
    def test_a_receipt_verifies_after_its_key_was_rotated(
        self, send: Callable[..., tuple[Client, dict[str, Any]]], database: Database
    ) -> None:
        from aws_lambda_powertools.utilities import parameters

        prover, proof = send()
        old = receipt(prover, proof)
        turn(rotate_receipts=True)
        database.execute("update core.signing_keys set created_at = created_at - interval '3 years'")
        turn()  # ends the overlap of the old key
        parameters.clear_caches()  # type: ignore[no-untyped-call]
        new = receipt(prover, proof)
        kids = [jwt.get_unverified_header(text)["kid"] for text in (old, new)]
        assert len(set(kids)) == 2
        for text in (old, new):
            assert receipts.verify(text, key_set()).sub.hex == proof["id"].replace("-", "")


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def changes(said: Any, path: str = "") -> list[tuple[str, Any]]:
    """Claims with one value changed, for every value, by its name."""
    if isinstance(said, dict):
        inner = [
            (where, {**said, name: changed})
            for name, value in said.items()
            for where, changed in changes(value, f"{path}/{name}")
        ]
        return inner + [(f"{path}/{name} gone", {k: v for k, v in said.items() if k != name}) for name in said]
    if isinstance(said, list):
        return [(path, [*said, "duplicate_image"])]
    if isinstance(said, int):
        return [(path, said + 1)]
    return [(path, f"{said}0"), (path, None if said is not None else "x")]


def test_any_change_of_the_claims_is_detected(send: Callable[..., tuple[Client, dict[str, Any]]]) -> None:
    prover, proof = send()
    text = receipt(prover, proof)
    header, _, signature = text.split(".")
    said, keys = claims(text), key_set()
    receipts.verify(text, keys)
    altered = changes(said)
    names = {name.removesuffix(" gone").split("/")[-1] for name, _ in altered}
    assert names >= PROOF | {"iss", "iat", "sub"}
    for name, body in altered:
        forged = f"{header}.{encode(json.dumps(body, separators=(',', ':')).encode())}.{signature}"
        with pytest.raises(InvalidReceipt, match="The signature is wrong"):
            pytest.fail(f"{name}: {receipts.verify(forged, keys)}")


class TestCommandLine:
    """`python -m proofs.receipts` with a receipt, the keys, and this repository."""

    @pytest.fixture
    def files(self, send: Callable[..., tuple[Client, dict[str, Any]]], tmp_path: Path) -> tuple[Path, Path]:
        file, keys = tmp_path / "receipt.jws", tmp_path / "jwks.json"
        file.write_text(receipt(*send()) + "\n")
        keys.write_text(json.dumps(key_set()))
        return file, keys

    def test_a_receipt_is_verified_offline_without_configuration(self, files: tuple[Path, Path]) -> None:
        file, keys = files
        python_path = f"{ROOT / 'functions'}:{ROOT / 'layers/core/python'}"
        done = subprocess.run(
            [sys.executable, "-m", "proofs.receipts", "verify", file, "--jwks", keys],
            env={"PYTHONPATH": python_path, "PATH": os.environ["PATH"], "https_proxy": "http://127.0.0.1:1"},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        said = claims(file.read_text().strip())
        assert done.stdout.startswith("This receipt is valid")
        for each in (said["iss"], said["sub"], said["proof"]["sha256"], said["proof"]["tzdata"], "accepted"):
            assert each in done.stdout

    @pytest.mark.parametrize(
        ("damage", "sentence"),
        [
            (lambda text: "", "This is not a complete receipt"),
            (lambda text: text[: len(text) // 2], "This is not a complete receipt"),
            (lambda text: text.replace(".", ""), "This is not a complete receipt"),
            (lambda text: text[:-2], "The signature is wrong"),
            (lambda text: text + "AAAA", "The signature is wrong"),
            (lambda text: text.rpartition(".")[0] + "." + "A" * 86, "The signature is wrong"),
            (lambda text: text * 100, "at most 16384 characters"),
            (lambda text: "x" * 10_000_000, "at most 16384 characters"),
            (lambda text: "\x1b[2Jée.a.b", "This is not a complete receipt"),
        ],
    )
    def test_a_damaged_receipt_is_refused(
        self,
        files: tuple[Path, Path],
        capsys: pytest.CaptureFixture[str],
        damage: Callable[[str], str],
        sentence: str,
    ) -> None:
        file, keys = files
        file.write_text(damage(file.read_text().strip()))
        assert receipts.main(["verify", str(file), "--jwks", str(keys)]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert sentence in said.err
        assert "\x1b" not in said.err
        assert len(said.err) < 400

    @pytest.mark.parametrize(
        ("keys", "sentence"),
        [
            ('{"keys": []}', "These keys do not include the receipt's key"),
            ("[]", "not a JSON Web Key Set"),
            ("{", "it is not JSON"),
            ('{"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "a"}]}', "is malformed"),
        ],
    )
    def test_keys_that_do_not_fit_are_refused(
        self, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], keys: str, sentence: str
    ) -> None:
        file, jwks = files
        jwks.write_text(keys)
        assert receipts.main(["verify", str(file), "--jwks", str(jwks)]) == 1
        assert sentence in capsys.readouterr().err

    def test_missing_files_are_reported(self, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
        file, keys = files
        assert receipts.main(["verify", f"{file}x", "--jwks", str(keys)]) == 1
        assert receipts.main(["verify", str(file), "--jwks", f"{keys}x"]) == 1
        said = capsys.readouterr().err.splitlines()
        assert ["The receipt cannot be read" in said[0], "The keys cannot be read" in said[1]] == [True, True]

    @pytest.mark.parametrize("url", ["http://keys.example/jwks.json", "file:///etc/passwd", "ftp://a.example/x", "://"])
    def test_keys_are_fetched_over_https_only(
        self, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], url: str
    ) -> None:
        assert receipts.main(["verify", str(files[0]), "--jwks", url]) == 1
        assert "over HTTPS only" in capsys.readouterr().err

    def test_keys_are_fetched_from_the_issuer_by_default(
        self, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file, keys = files
        asked = []

        def fetch(url: str) -> bytes:
            asked.append(url)
            return keys.read_bytes()

        monkeypatch.setattr(receipts, "_fetch", fetch)
        assert receipts.main(["verify", str(file)]) == 0
        assert asked == [f"{PUBLIC_URL}/.well-known/jwks.json"]
        assert capsys.readouterr().out.splitlines()[0].endswith(f"according to the keys of {asked[0]}.")

    def test_another_issuer_is_named(
        self, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without `--jwks`, a receipt is only as trustworthy as its issuer."""
        file, _ = files
        evil = ReceiptKey.make(datetime.now(UTC) - timedelta(days=1))
        body = claims(file.read_text().strip()) | {"iss": "https://evil.example/\x1b[2J"}
        file.write_text(evil.sign(json.dumps(body).encode(), typ=receipts.TYPE))
        monkeypatch.setattr(receipts, "_fetch", lambda url: json.dumps({"keys": [evil.public_jwk()]}).encode())
        assert receipts.main(["verify", str(file)]) == 0
        said = capsys.readouterr().out
        assert "according to the keys of https://evil.example/?[2J/.well-known" in said
        assert "\x1b" not in said


def test_receipts_with_additional_claims_verify(receipt_key: ReceiptKey, send: Any) -> None:
    body = claims(receipt(*send()))
    body["proof"] |= {"status": "audited", "weather": "rain"}
    text = receipt_key.sign(json.dumps(body).encode(), typ=receipts.TYPE)
    assert isinstance(receipts.verify(text, {"keys": [receipt_key.public_jwk()]}), Receipt)
