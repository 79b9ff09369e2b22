"""Roles: assigned through the function, effective at once, and useless without a second factor."""

from collections.abc import Callable
from typing import Any

import pytest

from chally import settings
from identity import jobs
from tests.support.api import Client, LambdaContext
from tests.support.database import Database
from tests.support.people import SignUp


def run(**event: object) -> Any:
    context: Any = LambdaContext()
    return jobs.roles_handler(event, context)


@pytest.fixture
def prod(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The stage prod, where the documentation is for admins only."""

    def begin() -> None:
        monkeypatch.setenv("CHALLY_STAGE", "prod")
        settings.load.cache_clear()

    return begin


@pytest.fixture
def roles(database: Database) -> Callable[[], list[tuple[str, str]]]:
    return lambda: database.execute("select username, role from identity.users order by username")


def pass_second_factor(database: Database, client: Client) -> None:
    database.execute(
        "update identity.sessions set second_factor = true where user_id = %(id)s::uuid", id=client.user["id"]
    )


class TestOrders:
    def test_the_first_admin_is_made(self, person: SignUp, roles: Callable[[], Any], database: Database) -> None:
        kari = person("kari")
        person("ana")
        response = run(email="kari@people.test", role="admin")
        assert roles() == [("ana", "user"), ("kari", "admin")]
        assert response == {
            "detail": "kari now has the role admin. Admin calls require a second factor, which kari must turn on first."
        }
        rows = database.execute("select user_id::text, actor_id, detail from core.audit where action = 'role_changed'")
        assert rows == [(kari.user["id"], None, {"before": "user", "after": "admin"})]

    @pytest.mark.parametrize("email", ["KARI@people.TEST", " kari@people.test\n"])
    def test_an_address_is_accepted_as_people_type_it(
        self, person: SignUp, roles: Callable[[], Any], email: str
    ) -> None:
        person("kari")
        run(email=email, role="moderator")
        assert roles() == [("kari", "moderator")]

    def test_an_unchanged_role_is_not_audited_again(self, person: SignUp, database: Database) -> None:
        person("kari")
        run(email="kari@people.test", role="admin")
        assert run(email="kari@people.test", role="admin")["detail"].startswith("kari already has the role admin.")
        assert database.execute("select count(*) from core.audit where action = 'role_changed'") == [(1,)]

    def test_the_response_tells_whether_a_second_factor_is_missing(self, person: SignUp, database: Database) -> None:
        kari = person("kari")
        database.execute(
            "insert into identity.totp (user_id, sealed_secret, created_at) values (%(id)s::uuid, 'x', now())",
            id=kari.user["id"],
        )
        assert "calls require a second factor" in run(email="kari@people.test", role="admin")["detail"]
        database.execute("update identity.totp set confirmed_at = now()")
        assert "must" not in run(email="kari@people.test", role="admin")["detail"]
        assert run(email="kari@people.test", role="user") == {"detail": "kari now has the role user."}

    @pytest.mark.parametrize("email", ["nobody@people.test", "", "%", "kari", "' or true --"])
    def test_an_unknown_address_is_refused(
        self, person: SignUp, roles: Callable[[], Any], email: str, logs: Callable[[], str]
    ) -> None:
        person("kari")
        assert "No account has this address" in run(email=email, role="admin")["error"]
        assert roles() == [("kari", "user")]
        assert "nobody@people.test" not in logs()

    def test_a_deleted_account_gets_no_role(self, person: SignUp, roles: Callable[[], Any], database: Database) -> None:
        person("kari")
        database.execute("update identity.users set deleted_at = now()")
        assert "No account has this address" in run(email="kari@people.test", role="admin")["error"]
        assert roles() == [("kari", "user")]

    @pytest.mark.parametrize(
        "event",
        [{}, {"email": "kari@people.test"}, {"email": "kari@people.test", "role": "root"}, {"role": "admin"},
         {"email": 1, "role": "admin"}, {"email": "kari@people.test", "role": ["admin"]}],
    )  # fmt: skip
    def test_an_incomplete_request_is_refused(
        self, person: SignUp, roles: Callable[[], Any], event: dict[str, object]
    ) -> None:
        person("kari")
        assert "roles are" in run(**event)["error"]
        assert roles() == [("kari", "user")]


class TestAdmins:
    def test_a_role_has_no_effect_without_a_second_factor(
        self, person: SignUp, database: Database, prod: Callable[[], None]
    ) -> None:
        admin, member = person("liv"), person("kari")
        run(email="liv@people.test", role="admin")
        pass_second_factor(database, member)
        prod()
        assert admin.get("/docs").code == "second_factor_required"
        assert admin.get("/docs").status == 403
        assert member.get("/docs").code == "forbidden"
        pass_second_factor(database, admin)
        assert admin.get("/docs").status == 200

    def test_a_role_takes_effect_and_ends_with_the_next_request(
        self, person: SignUp, database: Database, prod: Callable[[], None]
    ) -> None:
        """The token does not contain it."""
        kari = person("kari")
        pass_second_factor(database, kari)
        prod()
        for role, status in (("user", 403), ("admin", 200), ("moderator", 403), ("admin", 200), ("user", 403)):
            run(email="kari@people.test", role=role)
            assert kari.get("/docs").status == status
            assert kari.get("/v1/me").json["role"] == role

    def test_an_ended_session_has_no_role(self, person: SignUp, database: Database, prod: Callable[[], None]) -> None:
        kari = person("kari")
        run(email="kari@people.test", role="admin")
        pass_second_factor(database, kari)
        prod()
        assert kari.get("/docs").status == 200
        database.execute("update identity.sessions set ended_at = now(), ended_reason = 'signed_out'")
        assert kari.get("/docs").code == "session_ended"

    def test_no_route_assigns_a_role(self, person: SignUp) -> None:
        kari = person("kari")
        assert kari.patch("/v1/me", {"role": "admin"}).status == 422
        assert kari.post("/v1/me/role", {"role": "admin"}).status in (404, 405)
        body = {"email": "x@people.test", "username": "xxx", "password": "long enough for us", "timezone": "UTC"}
        assert kari.post("/v1/auth/register", body | {"role": "admin"}).status == 422
