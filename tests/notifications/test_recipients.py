"""What others can make us send to one mailbox is limited, for every mail that others can cause."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from chally import clock, db, outbox
from notifications import mail
from notifications.jobs import outbox_handler
from notifications.templates import TEMPLATES
from tests.support.api import LambdaContext
from tests.support.database import Database
from tests.support.people import PASSWORD, SignUp

# Only the recipient's own acts, or somebody with their credentials, cause these; their limits are those of the acts.
OWN = {
    *(
        "session_reuse",
        "password_guessed",
        "second_factor_guessed",
        "password_changed",
        "email_changed",
        "second_factor_changed",
    ),
    *("passkey_added", "passkey_removed", "deletion_requested", "deletion_cancelled", "export_ready", "reminder"),
}


def deliver() -> None:
    while outbox_handler({}, LambdaContext())["delivered"]:
        pass


def sent(address: str) -> int:
    """How many mails have gone to an address."""
    messages = ses_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].sent_messages
    return sum(message.destinations["ToAddresses"] == [address] for message in messages)


def write(template: str, to: str, count: int) -> None:
    payload = {"template": template, "to": to, "values": {"username": "kari", "token": "the-token"}}
    with db.as_system("tests") as tx:
        outbox.add_all(tx, "mail", [payload] * count)


def test_every_mail_that_others_can_cause_has_a_limit(database: Database) -> None:
    limits = {name for (name,) in database.execute("select name from core.limits where name like 'mail%%'")}
    assert limits == {f"mail_{template}" for template in TEMPLATES.keys() - OWN}


def test_many_accounts_cannot_fill_a_strangers_mailbox(
    person: SignUp, monkeypatch: pytest.MonkeyPatch, database: Database, logs: Callable[[], str]
) -> None:
    """Each of three accounts asks for the same new address, as often as it may."""
    database.execute("update core.limits set quantity = 100 where name = 'password_check'")
    for name in ("kari", "ola", "liv"):
        client = person(name)
        with monkeypatch.context() as patch:
            patch.setattr("identity.passwords.matches", lambda *_: True)
            for tag in ("", "+1", "+2", "+3", "+4"):
                body = {"current_password": PASSWORD, "new": f"victim{tag}@people.test"}
                assert client.post("/v1/me/email", body).status == 204
    deliver()
    tags = [sent(f"victim{tag}@people.test") for tag in ("", "+1", "+2", "+3", "+4")]
    assert sum(tags) == 5
    dropped = "select count(*) from core.outbox where last_error like 'over the limit%%' and payload = '{}'"
    assert database.execute(dropped) == [(10,)]
    assert "victim" not in logs()


def test_a_mailbox_gets_mails_again_as_time_passes(cloud: None, at: Callable[[datetime], None]) -> None:
    now = clock.now()
    at(now)
    write("account_exists", "kari@people.test", 7)
    deliver()
    assert sent("kari@people.test") == 5
    at(now + timedelta(hours=4, minutes=48))
    write("account_exists", "kari@people.test", 2)
    deliver()
    assert sent("kari@people.test") == 6


def test_one_kind_of_mail_does_not_use_up_another(cloud: None) -> None:
    """Or a stranger could keep a link to a new password from its owner."""
    write("account_exists", "kari@people.test", 7)
    write("password_reset", "kari@people.test", 1)
    deliver()
    assert sent("kari@people.test") == 6


def test_security_notices_have_no_limit(cloud: None) -> None:
    write("password_changed", "kari@people.test", 40)
    deliver()
    assert sent("kari@people.test") == 40


def test_a_mail_that_is_tried_again_is_counted_once(cloud: None, database: Database) -> None:
    write("account_exists", "kari@people.test", 5)
    with pytest.MonkeyPatch.context() as patch:

        def fail(*_: object, **__: object) -> None:
            raise TimeoutError

        patch.setattr(mail, "send", fail)
        assert outbox_handler({}, LambdaContext())["failed"] == 5
    database.execute("update core.outbox set due_at = now()")
    deliver()
    assert sent("kari@people.test") == 5


def test_mails_go_to_the_punycode_of_a_domain(cloud: None) -> None:
    write("account_exists", "kari@bücher.example", 1)
    deliver()
    assert sent("kari@xn--bcher-kva.example") == 1
