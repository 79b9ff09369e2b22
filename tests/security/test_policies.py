"""Every row-level security policy decides: callers it admits pass, others do not, and nothing else stops them."""

from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from chally import clock
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

INSERT_CHALLENGE = """
    insert into challenges.challenges (owner_id, title, status, invite_code, timezone, starts_at, ends_at, rules)
    values (%(owner)s, 't', 'draft', 'another-code', 'UTC', now(), now() + interval '1 day',
        '{"schedule": {"days": ["mon"], "opens": "05:00", "closes": "08:00", "scope": "participant_local"}}')
"""
INSERT_KEY = """
    insert into core.idempotency_keys (user_id, key, fingerprint, status, headers, body)
    values (%(owner)s, 'k', '', 200, '{}', '')
"""


@dataclass(frozen=True)
class Case:
    """A statement, a caller whom the policy admits, and one whom it refuses: None if it admits everybody."""

    statement: LiteralString
    admitted: str
    refused: str | None


CASES = {
    "challenges.challenges.challenges_visible": Case(
        "select from challenges.challenges where id = %(challenge)s", "member", "stranger"
    ),
    "challenges.challenges.challenges_create": Case(INSERT_CHALLENGE, "owner", "stranger"),
    "challenges.challenges.challenges_edit": Case(
        "update challenges.challenges set title = 'Another' where id = %(challenge)s", "owner", "member"
    ),
    "challenges.participants.participants_roster": Case(
        "select from challenges.participants where id = %(participant)s", "owner", "stranger"
    ),
    "challenges.windows.windows_own": Case(
        "select from challenges.windows where participant_id = %(participant)s", "member", "owner"
    ),
    "core.audit.audit_own": Case(
        "insert into core.audit (at, actor_id, action) values (now(), %(owner)s, 'tested')", "owner", "stranger"
    ),
    "core.idempotency_keys.idempotency_keys_own": Case(INSERT_KEY, "owner", "stranger"),
    "core.signing_keys.signing_keys_public": Case("select kid from core.signing_keys", "nobody", None),
    "identity.users.users_self": Case("select id from identity.users where id = %(member)s", "member", "owner"),
    "proofs.proofs.proofs_visible": Case("select id from proofs.proofs where id = %(proof)s", "owner", "stranger"),
}


@dataclass(frozen=True)
class Scene:
    """A challenge by code with its owner, a member who has sent a proof, and a stranger; everything by its id."""

    database: Database
    ids: dict[str, UUID]

    def rows(self, case: Case, caller: str) -> int:
        """How many rows the statement reaches for a caller, and undo it. A policy that raises lets none through."""
        with psycopg.connect(self.database.app) as app:
            app.execute("select set_config('chally.actor', %s, true)", [str(self.ids.get(caller, ""))])
            try:
                reached = app.execute(case.statement, self.ids).rowcount
            except psycopg.errors.InsufficientPrivilege as error:
                if "row-level security" not in str(error):
                    raise
                reached = 0
            app.rollback()
        return reached


@pytest.fixture
def scene(person: SignUp, database: Database) -> Scene:
    people = {name: person(name) for name in ("owner", "member", "stranger")}
    challenge = people["owner"].post("/v1/challenges", challenge_body(clock.now())).json
    assert people["member"].post(f"/v1/challenges/{challenge['invite_code']}/join").status == 201
    photo = {"content_type": "image/jpeg", "content_length": 7, "sha256": "0" * 64}
    proof = people["member"].post(f"/v1/challenges/{challenge['id']}/proofs", photo)
    assert proof.status == 201, proof.text
    ids = {name: UUID(client.user["id"]) for name, client in people.items()}
    ids["challenge"], ids["proof"] = UUID(challenge["id"]), UUID(proof.json["proof"]["id"])
    ((ids["participant"],),) = database.execute(
        "select id from challenges.participants where user_id = %(member)s", **ids
    )
    return Scene(database, ids)


def split(name: str) -> tuple[sql.Identifier, sql.Identifier]:
    """The policy and its table."""
    schema, table, policy = name.split(".")
    return sql.Identifier(policy), sql.Identifier(schema, table)


def test_every_policy_of_the_app_has_a_case(database: Database) -> None:
    found = database.execute(
        "select format('%%s.%%s.%%s', schemaname, tablename, policyname) from pg_policies"
        " where roles && '{chally_app,public}'"
    )
    assert {name for (name,) in found} == set(CASES)


def test_other_policies_are_those_of_the_owner_and_the_jobs(database: Database) -> None:
    others = database.execute(
        "select distinct roles::text, cmd, qual from pg_policies where not roles && '{chally_app,public}' order by 1"
    )
    assert others == [("{chally_owner}", "ALL", "true"), ("{chally_system}", "ALL", "true")]


@pytest.mark.parametrize("name", CASES)
def test_a_policy_decides_by_itself(scene: Scene, name: str) -> None:
    """Once it admits everybody the refused caller passes; without it the admitted one does not."""
    case, (policy, table) = CASES[name], split(name)
    assert scene.rows(case, case.admitted) > 0
    ((command,),) = scene.database.execute(
        "select cmd from pg_policies where policyname = %(policy)s", policy=name.split(".")[2]
    )
    if case.refused is not None:
        assert scene.rows(case, case.refused) == 0
        using = sql.SQL("" if command == "INSERT" else "using (true)")
        check = sql.SQL("" if command == "SELECT" else "with check (true)")
        with psycopg.connect(scene.database.url) as administrator:
            administrator.execute(sql.SQL("alter policy {} on {} {} {}").format(policy, table, using, check))
        assert scene.rows(case, case.refused) > 0
    with psycopg.connect(scene.database.url) as administrator:
        administrator.execute(sql.SQL("drop policy {} on {}").format(policy, table))
    assert scene.rows(case, case.admitted) == 0
