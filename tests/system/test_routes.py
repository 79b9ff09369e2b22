"""The endpoints of the system."""

import json

import jwt
import pytest

from chally import aws, settings
from system import docs, openapi
from tests.support.api import Client
from tests.support.database import Database
from tests.support.people import SignUp


class TestHealth:
    def test_live_needs_no_dependency(self, nobody: Client) -> None:
        assert nobody.get("/live").json == {"status": "ok"}

    @pytest.mark.parametrize("path", ["/ready", "/health"])
    def test_ready_checks_each_dependency(self, nobody: Client, path: str) -> None:
        response = nobody.get(path)
        assert response.status == 200
        assert response.json == {
            "status": "ok",
            "checks": {"database": "ok", "outbox_queue": "ok", "verdicts_queue": "ok", "malware": "not configured"},
        }

    def test_an_unreachable_database_is_reported(
        self, nobody: Client, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CHALLY_DATABASE_APP_URL", "postgresql://chally_app:test@127.0.0.1:1/none")
        settings.load.cache_clear()
        response = nobody.get("/ready")
        assert response.status == 503
        assert response.json["checks"]["database"] == "unreachable"
        assert response.json["checks"]["outbox_queue"] == response.json["checks"]["verdicts_queue"] == "ok"
        assert nobody.get("/live").status == 200

    @pytest.mark.parametrize("scanner", ["clamd", "guardduty"])
    def test_ready_names_the_scanner_of_uploads(
        self, nobody: Client, scanner: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CHALLY_MALWARE_SCANNER", scanner)
        settings.load.cache_clear()
        response = nobody.get("/ready")
        assert (response.status, response.json["checks"]["malware"]) == (200, scanner)

    def test_a_missing_queue_is_reported(self, nobody: Client) -> None:
        aws.client("sqs").delete_queue(QueueUrl=settings.load(settings.SystemSettings).verdicts_queue_url)
        assert nobody.get("/ready").json["checks"]["verdicts_queue"] == "unreachable"


def test_version_names_version_commit_and_stage(nobody: Client) -> None:
    assert nobody.get("/version").json == {"version": "0", "commit": "test", "stage": "local"}


def test_anyone_can_verify_our_tokens_with_the_published_keys(nobody: Client, person: SignUp) -> None:
    token = person("kari").token
    assert token is not None
    (key,) = [each for each in nobody.get("/.well-known/jwks.json").json["keys"] if each["alg"] == "RS256"]
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}  # no private fields
    claims = jwt.decode(token, jwt.PyJWK(key), algorithms=["RS256"], audience="chally", issuer="https://api.test")
    assert set(claims) == {"iss", "aud", "sub", "sid", "iat", "exp", "jti"}
    assert claims["exp"] - claims["iat"] == 900


def test_an_unknown_path_is_a_problem(nobody: Client) -> None:
    assert nobody.get("/nowhere").code == "not_found"


class TestDocumentation:
    def test_the_committed_document_is_up_to_date(self) -> None:
        assert docs.OPENAPI.read_text() == openapi.text(), "run `make openapi`"

    def test_the_document_covers_every_context(self, nobody: Client) -> None:
        document = nobody.get("/openapi.json").json
        for path in ("/ready", "/v1/auth/register", "/v1/challenges/{challenge_id}/windows", "/v1/proofs/{proof_id}"):
            assert path in document["paths"]
        ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
        assert len(ids) == len(set(ids))
        references = {part.split('"')[0] for part in json.dumps(document).split('"#/components/schemas/')[1:]}
        assert references <= set(document["components"]["schemas"])

    def test_the_page_loads_nothing_from_elsewhere(self, nobody: Client) -> None:
        page = nobody.get("/docs")
        assert page.status == 200
        assert "http" not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert "SwaggerUIBundle" in nobody.get("/docs/swagger-ui-bundle.js").text
        assert nobody.get("/docs/swagger-ui.css").headers["content-type"].startswith("text/css")
        assert nobody.get("/docs/../routes.py").status == 404
        assert nobody.get("/docs/other.js").status == 404

    def test_in_prod_the_documentation_is_for_admins(
        self, nobody: Client, person: SignUp, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        member, moderator, admin = person("kari"), person("ana"), person("liv")
        database.execute("update identity.users set role = 'admin' where username = 'liv'")
        database.execute("update identity.users set role = 'moderator' where username = 'ana'")
        database.execute("update identity.sessions set second_factor = true")
        monkeypatch.setenv("CHALLY_STAGE", "prod")
        settings.load.cache_clear()
        for path in ("/docs", "/openapi.json"):
            assert nobody.get(path).status == 401
            assert member.get(path).code == "forbidden"
            assert moderator.get(path).code == "forbidden"
            assert admin.get(path).status == 200
