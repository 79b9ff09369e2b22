"""Mails: their texts, that their links work, and that links reach only their owner."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from notifications import mail
from notifications.jobs import outbox_handler
from proofs import reviews
from tests.support.api import Client, LambdaContext
from tests.support.database import Database
from tests.support.environment import PUBLIC_URL
from tests.support.people import SignUp

# The values of each template, besides the recipient's name.
VALUES: dict[str, dict[str, str]] = {
    "verify_email": {"token": "the-token"},
    "account_exists": {},
    "magic_link": {"token": "the-token"},
    "password_reset": {"token": "the-token"},
    "email_change": {"token": "the-token"},
    "unlock": {"token": "the-token"},
    "session_reuse": {},
    "password_changed": {},
    "email_changed": {},
    "second_factor_changed": {"change": "An authenticator app was turned on."},
    "deletion_requested": {"purged_on": "2026-12-20"},
    "deletion_cancelled": {},
    "export_ready": {"link": "https://api.test/v1/me/export"},
    "proof_rejected": {
        "title": "Run before eight",
        "reasons": "- This file is not a JPEG, PNG or WebP picture.",
        "closes": "08:00 on 2026-11-26",
        "timezone": "Europe/Berlin",
        "appeal": reviews.APPEAL_HINT,
    },
    "proof_reviewed": {"title": "Run before eight", "outcome": "accepted", "reason": "I saw you.", "appeal": ""},
    "review_wanted": {"title": "Run before eight", "proof_id": "01a215db-d0e0-7f00-92fb-00f6b5845bfb"},
    "moderation_wanted": {"title": "Run before eight", "proof_id": "01a215db-d0e0-7f00-92fb-00f6b5845bfb"},
    "reminder": {"title": "Run before eight", "closes": "08:00", "timezone": "Europe/Berlin"},
}
EACH = pytest.mark.parametrize("name", VALUES)
# Mails about changes that the recipient may not have made.
NOTICES = (
    "session_reuse",
    "password_changed",
    "second_factor_changed",
    "deletion_requested",
    "deletion_cancelled",
    "export_ready",
    "unlock",
)


def compose(name: str) -> mail.Mail:
    return mail.compose(name, {"username": "kari"} | VALUES[name], public_url=PUBLIC_URL)


def deliver() -> dict[str, int]:
    return dict(outbox_handler({}, LambdaContext()))


def sent() -> list[Any]:
    return list(ses_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].sent_messages)


def test_every_template_has_test_values() -> None:
    assert mail._TEMPLATES.keys() == VALUES.keys()


class TestTemplates:
    @EACH
    def test_a_mail_is_complete_plain_and_short(self, name: str) -> None:
        letter = compose(name)
        assert letter.text.startswith("Hello kari,\n\n")
        assert letter.text.endswith("\n")
        for text in (letter.subject, letter.text):
            assert not set("{}<>") & set(text)
            assert "  " not in text
        assert len(letter.subject) <= 78
        assert len(letter.text) < 1000
        for value in VALUES[name].values():
            assert value in letter.subject + letter.text

    @EACH
    def test_a_missing_value_raises(self, name: str) -> None:
        for missing in VALUES[name]:
            values = {"username": "kari"} | VALUES[name]
            del values[missing]
            with pytest.raises(KeyError):
                mail.compose(name, values, public_url=PUBLIC_URL)

    @EACH
    def test_links_in_a_mail_lead_to_a_page(self, nobody: Client, name: str) -> None:
        links = re.findall(r"https://\S+", compose(name).text)
        for link in links:
            if link != VALUES[name].get("link"):
                path = link.removeprefix(PUBLIC_URL).partition("?")[0]
                assert nobody.get(path).headers["content-type"].startswith("text/html"), path
        assert len([link for link in links if "the-token" in link]) == ("token" in VALUES[name])

    @pytest.mark.parametrize("name", NOTICES)
    def test_a_security_mail_says_what_to_do_if_it_was_not_you(self, name: str) -> None:
        text = compose(name).text
        assert re.search(r"not you|cannot explain|did not request", text)
        assert f"{PUBLIC_URL}/v1/auth/password/forgot\n" in text

    def test_the_old_address_is_told_how_to_recover_without_it(self) -> None:
        """A password reset would go to the new address, so it does not help them."""
        text = compose("email_changed").text
        assert "username, kari" in text
        assert "forgot" not in text

    def test_a_name_cannot_reach_into_the_template(self) -> None:
        values = {"username": "{token}", "token": "the-token"}
        assert mail.compose("magic_link", values, public_url=PUBLIC_URL).text.startswith("Hello {token},")


@pytest.mark.parametrize("path", ["/v1/auth/magic-link", "/v1/auth/password/forgot"])
class TestRequestedLinks:
    def test_an_address_without_an_account_gets_no_mail(
        self, nobody: Client, database: Database, logs: Callable[[], str], path: str
    ) -> None:
        assert nobody.post(path, {"email": "nobody@people.test"}).status == 202
        before = len(sent())
        assert deliver() == {"delivered": 1, "failed": 0}
        assert len(sent()) == before
        rows = database.execute("select payload, delivered_at is null, attempts from core.outbox")
        assert rows == [({}, False, 1)]  # delivered like any other, and its token deleted
        assert "nobody@people.test" not in logs()
        assert "ERROR" not in logs()

    def test_the_owner_gets_the_link_at_their_address(
        self, nobody: Client, person: SignUp, database: Database, path: str
    ) -> None:
        person("kari")
        deliver()
        nobody.post(path, {"email": "KARI@people.test"})
        ((token,),) = database.execute(
            "select payload #>> '{values,token}' from core.outbox where delivered_at is null"
        )
        before = len(sent())
        deliver()
        (message,) = sent()[before:]
        assert message.destinations["ToAddresses"] == ["kari@people.test"]
        assert f"?token={token}\n" in message.body
        assert message.body.startswith("Hello kari,")

    def test_an_account_to_be_deleted_still_gets_the_link(
        self, nobody: Client, person: SignUp, database: Database, path: str
    ) -> None:
        """Signing in cancels the deletion."""
        person("kari")
        deliver()
        database.execute("update identity.users set deleted_at = now()")
        nobody.post(path, {"email": "kari@people.test"})
        before = len(sent())
        deliver()
        (message,) = sent()[before:]
        assert message.destinations["ToAddresses"] == ["kari@people.test"]
        assert message.body.startswith("Hello kari,")


def test_a_change_of_address_mails_the_new_address_then_the_old(
    nobody: Client, person: SignUp, database: Database
) -> None:
    kari = person("kari")
    deliver()
    before = len(sent())
    kari.post("/v1/me/email", {"current_password": "long enough for us", "new": "new@people.test"})
    ((token,),) = database.execute("select payload #>> '{values,token}' from core.outbox where delivered_at is null")
    deliver()
    nobody.post("/v1/auth/email/confirm", {"token": token})
    deliver()
    to = [(message.destinations["ToAddresses"][0], message.subject) for message in sent()[before:]]
    assert to == [
        ("new@people.test", "Confirm your new email address for Chally"),
        ("kari@people.test", "The email address of your account at Chally was changed"),
    ]
    assert "new@people.test" not in sent()[-1].body
