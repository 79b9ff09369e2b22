"""The audit trail is complete: each act in the table leaves exactly one row, with who did what to whom, and from where.

A test reads the code for the names of acts: one that is not in the table fails.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest

from chally import clock, secrets
from chally.settings import PrivacySettings, load
from identity.jobs import roles_handler
from infra.tools.bootstrap import ROOT
from notifications import unsubscribe
from notifications.unsubscribe import Subscription
from privacy.jobs import exports_handler, purge_handler
from tests.support.api import Client, LambdaContext
from tests.support.authenticator import Authenticator
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.mailed_links import follow_link, mailed_token, request_link
from tests.support.passkeys import add_passkey, register_passkey, sign_in_by_passkey
from tests.support.people import PASSWORD, SignUp
from tests.support.totp_phone import Later, turn_on

Mails = Callable[[], list[dict[str, Any]]]
WRONG = "something else"
REJECT, ACCEPT = ({"decision": decision, "reason": "So it is."} for decision in ("reject", "accept"))


@dataclass
class Story:
    """Kari, who acts; Ola, who takes part in her challenge; and what they need for it."""

    kari: Client
    person: SignUp
    database: Database
    mails: Mails
    later: Later

    def login(self, password: str = PASSWORD, name: str = "kari") -> Any:
        return Client().post("/v1/auth/login", {"login": name, "password": password}).json

    def follow(self, purpose: str) -> None:
        assert follow_link(purpose, mailed_token(self.mails, purpose)).status in (200, 204)

    def challenge(self) -> dict[str, Any]:
        body = challenge_body(clock.now())
        body["rules"]["proof"] = {"kind": "text"}
        made = self.kari.post("/v1/challenges", body)
        assert made.status == 201, made.text
        found: dict[str, Any] = made.json
        return found

    def proof(self) -> tuple[Client, str]:
        """Ola, and the path of her proof in Kari's challenge."""
        challenge, ola = self.challenge(), self.person("ola")
        assert ola.post(f"/v1/challenges/{challenge['invite_code']}/join").status == 201
        sent = ola.post(f"/v1/challenges/{challenge['id']}/proofs", {"value": "I ran"})
        return ola, f"/v1/proofs/{sent.json['proof']['id']}"


@dataclass(frozen=True)
class Act:
    """How an act comes about, and the row it leaves: the names of its actor and of the user that it concerns."""

    cause: Callable[[Story], object]
    detail: dict[str, Any] = field(default_factory=dict)
    actor: str | None = "kari"
    user: str | None = "kari"
    over_http: bool = True


def reuse(story: Story) -> None:
    first = story.login()["refresh_token"]
    second = Client().post("/v1/auth/refresh", {"refresh_token": first}).json["refresh_token"]
    Client().post("/v1/auth/refresh", {"refresh_token": second})
    assert Client().post("/v1/auth/refresh", {"refresh_token": first}).code == "refresh_reused"


def sign_out(path: str) -> Callable[[Story], object]:
    return lambda story: Client().post(f"/v1/auth/{path}", {"refresh_token": story.login()["refresh_token"]})


def fail_a_factor(story: Story) -> None:
    phone, _ = turn_on(story.kari, story.later)
    story.kari.post("/v1/me/step-up", {"code": phone.wrong_code()})


def turn_off(story: Story) -> None:
    phone, _ = turn_on(story.kari, story.later)
    assert story.kari.delete("/v1/me/totp", {"code": phone.code()}).status == 204


def use_a_backup_code(story: Story) -> None:
    _, codes = turn_on(story.kari, story.later)
    assert story.kari.post("/v1/me/step-up", {"backup_code": codes[0]}).status == 204


def remove_a_passkey(story: Story) -> None:
    add_passkey(story.kari)
    (passkey,) = story.kari.get("/v1/me/passkeys").json["items"]
    assert story.kari.delete(f"/v1/me/passkeys/{passkey['id']}").status == 204


def clone_a_passkey(story: Story) -> None:
    mine = Authenticator(count=7)
    register_passkey(story.kari, mine)
    assert sign_in_by_passkey(Client(), mine, count=3).status == 401


def purge(story: Story) -> None:
    assert story.kari.delete("/v1/me").status == 202
    story.later(timedelta(days=30, minutes=20))
    assert purge_handler({}, LambdaContext())["purged"] == 1


def restore(story: Story) -> None:
    assert story.kari.delete("/v1/me").status == 202
    assert story.login()["user"]["username"] == "kari"


def change_password(story: Story) -> object:
    return story.kari.post("/v1/me/password", {"current_password": PASSWORD, "new": "four words in a row"})


def change_address(story: Story) -> object:
    return story.kari.post("/v1/me/email", {"current_password": PASSWORD, "new": "new@people.test"})


def confirm_address(story: Story) -> None:
    change_address(story)
    story.follow("email_change")


def unlock(story: Story) -> None:
    story.database.execute("update core.limits set quantity = 1000 where name like 'login%%'")
    while not any(mail["template"] == "unlock" for mail in story.mails()):
        if story.login(WRONG)["code"] == "login_locked":
            story.later(timedelta(minutes=5))
    story.follow("unlock")


def end_a_session(story: Story) -> None:
    story.login()
    (other,) = (each for each in story.kari.get("/v1/me/sessions").json["items"] if not each["current"])
    assert story.kari.delete(f"/v1/me/sessions/{other['id']}").status == 204


def build_an_export(story: Story) -> None:
    @dataclass(frozen=True)
    class Patient(LambdaContext):
        def get_remaining_time_in_millis(self) -> int:
            return 900_000

    story.kari.post("/v1/me/export")
    assert exports_handler({}, Patient())["built"] == 1


def review(story: Story) -> None:
    _, proof = story.proof()
    assert story.kari.post(f"{proof}/review", REJECT).status == 200


def appeal(story: Story) -> None:
    ola, proof = story.proof()
    story.database.execute("update proofs.proofs set status = 'rejected', decided_at = %(now)s", now=clock.now())
    assert ola.post(f"{proof}/appeal", {"message": "I did run."}).status == 200


def take_back(story: Story) -> None:
    ola, proof = story.proof()
    assert ola.delete(proof).status == 204


def edit(story: Story) -> None:
    assert story.kari.patch(f"/v1/challenges/{story.challenge()['id']}", {"title": "Swim"}).status == 200


def move_to(status: str) -> Callable[[Story], object]:
    return lambda story: story.kari.post(f"/v1/challenges/{story.challenge()['id']}/transitions", {"to": status})


def remove_ola(story: Story) -> None:
    story.proof()
    ((challenge,),) = story.database.execute("select id from challenges.challenges")
    path = f"/v1/challenges/{challenge}/participants"
    places = {item["username"]: item["participant_id"] for item in story.kari.get(path).json["items"]}
    assert story.kari.delete(f"{path}/{places['ola']}").status == 204


def follow_the_link_of_a_reminder(story: Story) -> None:
    key = secrets.read(load(PrivacySettings).unsubscribe_secret_arn).encode()
    token = unsubscribe.make_token(key, Subscription(UUID(story.kari.user["id"]), "reminders"))
    assert Client().call("POST", unsubscribe.PATH, query={"token": token}).status == 200


PROOF, CHALLENGE = {"proof_id": ANY}, {"challenge_id": ANY}
ACTS = {
    "signed_in": Act(lambda story: story.login(), {"by": "password"}, actor=None),
    "sign_in_failed": Act(lambda story: story.login(WRONG), {"failures": 1}, actor=None),
    "signed_out": Act(sign_out("logout"), actor=None),
    "signed_out_everywhere": Act(sign_out("logout-all"), actor=None),
    "session_ended": Act(end_a_session, {"ended": ANY}),
    "refresh_token_reused": Act(reuse, actor=None),
    "stepped_up": Act(lambda story: story.kari.post("/v1/me/step-up", {"password": PASSWORD}), {"by": "password"}),
    "magic_link_requested": Act(lambda _: request_link("magic_link"), actor=None),
    "password_reset_requested": Act(lambda _: request_link("password_reset"), actor=None),
    "lockout_lifted": Act(unlock, actor=None),
    "password_check_failed": Act(lambda story: story.kari.post("/v1/me/step-up", {"password": WRONG}), {"failures": 1}),
    "password_changed": Act(change_password, {"by": "password", "ended": 0}),
    "email_change_requested": Act(change_address),
    "email_changed": Act(confirm_address, actor=None),
    "username_changed": Act(lambda story: story.kari.patch("/v1/me", {"username": "kari_n"})),
    "reminders_stopped_by_link": Act(follow_the_link_of_a_reminder, actor=None),
    "totp_on": Act(lambda story: turn_on(story.kari, story.later)),
    "totp_off": Act(turn_off),
    "second_factor_failed": Act(fail_a_factor, {"by": "code", "failures": 1}),
    "backup_codes_made": Act(lambda story: turn_on(story.kari, story.later)),
    "backup_code_used": Act(use_a_backup_code),
    "passkey_added": Act(lambda story: add_passkey(story.kari), {"passkey": ANY}),
    "passkey_removed": Act(remove_a_passkey, {"passkey": ANY}),
    "passkey_cloned": Act(clone_a_passkey, {"passkey": ANY}, actor=None),
    "role_changed": Act(
        lambda story: roles_handler({"email": "kari@people.test", "role": "moderator"}, LambdaContext()),
        {"before": "user", "after": "moderator"},
        actor=None,
        over_http=False,
    ),
    "deletion_requested": Act(lambda story: story.kari.delete("/v1/me")),
    "deletion_cancelled": Act(restore, actor=None),
    "account_purged": Act(purge, actor=None, over_http=False),
    "export_requested": Act(lambda story: story.kari.post("/v1/me/export")),
    "export_built": Act(build_an_export, actor=None, over_http=False),
    "challenge_edited": Act(edit, CHALLENGE | {"fields": ["title"]}),
    "challenge_canceled": Act(move_to("canceled"), CHALLENGE),
    "challenge_deleted": Act(move_to("deleted"), CHALLENGE),
    "invite_code_changed": Act(
        lambda story: story.kari.post(f"/v1/challenges/{story.challenge()['id']}/invite-code"), CHALLENGE
    ),
    "participant_removed": Act(remove_ola, CHALLENGE, user="ola"),
    "proof_reviewed": Act(review, PROOF | {"former": "accepted", "decision": "reject"}, user="ola"),
    "proof_appealed": Act(appeal, PROOF, actor="ola", user="ola"),
    "proof_removed": Act(take_back, PROOF | {"former": "accepted"}, actor="ola", user="ola"),
}
# Names that the code composes, as their source.
COMPOSED = {
    "f'challenge_{body.to}'": {"challenge_canceled", "challenge_deleted"},
    "f'{purpose}_requested'": {"magic_link_requested", "password_reset_requested"},
    "action": {"signed_out", "signed_out_everywhere"},
}


def test_every_act_in_the_code_is_in_the_table() -> None:
    named: set[str] = set()
    for path in (ROOT / "functions").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "audit.record":
                name = node.args[1]
                named |= {str(name.value)} if isinstance(name, ast.Constant) else COMPOSED[ast.unparse(name)]
    assert named == ACTS.keys()


@pytest.fixture
def story(person: SignUp, database: Database, mails: Mails, later: Later) -> Story:
    return Story(person("kari"), person, database, mails, later)


@pytest.mark.parametrize("action", ACTS)
def test_an_act_leaves_one_row(story: Story, action: str) -> None:
    act = ACTS[action]
    before = story.database.execute("select count(*) from core.audit where action = %(action)s", action=action)[0][0]
    people = {story.kari.user["id"]: "kari"}
    act.cause(story)
    people |= {
        str(user): name
        for user, name in story.database.execute("select id, username from identity.users")
        if str(user) not in people
    }
    rows = story.database.execute(
        "select actor_id::text, user_id::text, host(ip), request_id, detail from core.audit"
        " where action = %(action)s order by id offset %(before)s",
        action=action,
        before=before,
    )
    assert len(rows) == 1
    ((actor, user, ip, request_id, detail),) = rows
    assert (people.get(actor), people.get(user)) == (act.actor, act.user)
    assert detail == act.detail
    assert ip == (Client().ip if act.over_http else None)
    assert request_id


@pytest.mark.parametrize("purpose", ["magic_link", "password_reset"])
def test_a_link_requested_for_no_account_leaves_the_same_row(nobody: Client, database: Database, purpose: str) -> None:
    request_link(purpose, "none@people.test")
    rows = database.execute("select action, actor_id, user_id, host(ip), detail from core.audit")
    assert rows == [(f"{purpose}_requested", None, None, nobody.ip, {})]
