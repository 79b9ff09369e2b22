"""Mails: their texts, that their links work, and that links reach only their owner."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from notifications import mail, unsubscribe
from notifications.jobs import outbox_handler
from notifications.templates import TEMPLATES
from tests.support.api import Client, LambdaContext
from tests.support.database import Database
from tests.support.environment import PUBLIC_URL
from tests.support.links import links_in
from tests.support.people import SignUp

# The values of each template, besides the recipient's name.
VALUES: dict[str, dict[str, Any]] = {
    "verify_email": {"token": "the-token", "names": "kari and kari_"},
    "account_exists": {},
    "magic_link": {"token": "the-token"},
    "password_reset": {"token": "the-token"},
    "password_unset": {"token": "the-token"},
    "password_guessed": {"failures": "5"},
    "second_factor_guessed": {"failures": "5"},
    "email_change": {"token": "the-token"},
    "unlock": {"token": "the-token"},
    "session_reuse": {},
    "password_changed": {},
    "email_changed": {},
    "second_factor_changed": {"change": "An authenticator app was turned on."},
    "passkey_added": {"name": "Kari's phone"},
    "passkey_removed": {"name": "Kari's phone"},
    "deletion_requested": {"purged_at": "2026-12-20T08:00:00+00:00"},
    "deletion_cancelled": {},
    "export_ready": {"link": "https://api.test/v1/me/export", "expires_at": "2026-12-20T08:00:00+00:00"},
    "proof_rejected": {
        "title": "Run before eight",
        "reasons": ["This file is not a JPEG, PNG or WebP picture."],
        "closes_at": "2026-11-26T07:00:00+00:00",
        "timezone": "Europe/Berlin",
        "appeal_until_at": "2026-12-03T07:00:00+00:00",
    },
    "proof_reviewed": {"title": "Run before eight", "outcome": "accepted", "reason": "I saw you."},
    "review_wanted": {"title": "Run before eight", "proof_id": "01a215db-d0e0-7f00-92fb-00f6b5845bfb"},
    "moderation_wanted": {"title": "Run before eight", "proof_id": "01a215db-d0e0-7f00-92fb-00f6b5845bfb"},
    "reminder": {
        "title": "Run before eight",
        "closes_at": "2026-11-26T07:00:00+00:00",
        "timezone": "Europe/Berlin",
    },
}
EACH = pytest.mark.parametrize("name", VALUES)
# Mails about changes that the recipient may not have made.
NOTICES = (
    "session_reuse",
    "password_guessed",
    "second_factor_guessed",
    "password_changed",
    "second_factor_changed",
    "passkey_added",
    "passkey_removed",
    "deletion_requested",
    "deletion_cancelled",
    "export_ready",
    "unlock",
)


def compose(template: str, reader: str = "Europe/Berlin", /, **changes: Any) -> mail.Mail:
    values = {"username": "kari"} | VALUES[template] | changes
    url = f"{PUBLIC_URL}{unsubscribe.PATH}?token=x" if TEMPLATES[template].kind else None
    return mail.compose(template, values, public_url=PUBLIC_URL, timezone=reader, unsubscribe_url=url)


def deliver() -> dict[str, int]:
    return dict(outbox_handler({}, LambdaContext()))


def sent() -> list[Any]:
    return list(ses_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].sent_messages)


def test_every_template_has_test_values() -> None:
    assert TEMPLATES.keys() == VALUES.keys()


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
        for key, value in VALUES[name].items():
            if not key.endswith("_at") and key != "timezone":
                assert "".join(value) in letter.subject + letter.text

    @EACH
    def test_a_missing_value_raises(self, name: str) -> None:
        for missing in VALUES[name].keys() - TEMPLATES[name].optional.keys() - {"timezone"}:
            with pytest.raises(KeyError):
                compose(name, "UTC", **{missing: None})

    @EACH
    def test_links_in_a_mail_lead_to_a_page(self, nobody: Client, name: str) -> None:
        links = re.findall(r"https://\S+", compose(name).text)
        for link in links:
            if link != VALUES[name].get("link"):
                path = link.removeprefix(PUBLIC_URL).partition("?")[0]
                query = {"token": "x"} if "unsubscribe" in path else {}
                assert nobody.get(path, **query).headers["content-type"].startswith("text/html"), path
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
        assert compose("magic_link", username="{token}").text.startswith("Hello {token},")
        assert "{0.__class__} {public_url}" in compose("reminder", title="{0.__class__} {public_url}").subject


FORGED = "Run\r\n\r\nYOUR ACCOUNT IS LOCKED.\u2028Unlock it: https://evil.test/login \u201d or reply to it@evil.test"


class TestTextsOfPeople:
    """Titles, reasons and names of devices cannot pass for a text of ours."""

    @EACH
    def test_a_text_is_quoted_on_one_line_without_links(self, name: str) -> None:
        written = {key: value for key, value in VALUES[name].items() if key in ("title", "reason", "name", "change")}
        plain = compose(name)
        for key in written:
            forged = compose(name, **{key: FORGED})
            assert len(forged.text.splitlines()) == len(plain.text.splitlines())
            assert "\n" not in forged.subject
            assert links_in(forged.text.replace(PUBLIC_URL, "")) == []
            assert "Run YOUR ACCOUNT IS LOCKED. Unlock it: https: // evil. test/login \u2019 or reply" in forged.text

    @pytest.mark.parametrize(
        ("name", "key"), [(name, key) for name in VALUES for key in ("title", "reason", "name") if key in VALUES[name]]
    )
    def test_a_text_stands_in_quotation_marks_wherever_it_is_quoted(self, name: str, key: str) -> None:
        letter = compose(name, **{key: "WORDS"})
        for text in (letter.subject, letter.text):
            assert text.count("WORDS") == text.count("\u201cWORDS\u201d")
        assert "WORDS" in letter.text

    def test_reasons_are_a_list_with_a_line_for_each(self) -> None:
        text = compose("proof_rejected", reasons=["One.\n\nTwo.", "Three."]).text
        assert "\n\n- One. Two.\n- Three.\n\nYou can" in text

    @EACH
    def test_no_value_becomes_a_line_or_a_link_unless_it_is_ours(self, name: str) -> None:
        """Also for values that are added later: all but the named links are quoted."""
        for key, value in ({"username": "kari"} | VALUES[name]).items():
            if isinstance(value, str) and key not in mail._LINKS and not key.endswith("_at") and key != "timezone":
                letter = compose(name, **{key: FORGED})
                assert len(letter.text.splitlines()) == len(compose(name).text.splitlines())
                assert "evil.test" not in letter.subject + letter.text


class TestDeadlines:
    """In the reader's own zone, with the date; in the challenge's zone, too, where its clocks differ."""

    def test_a_reader_elsewhere_is_told_both(self) -> None:
        closes_at, zone = "2026-11-28T21:41:00+00:00", "America/New_York"
        text = compose("reminder", "Asia/Tokyo", closes_at=closes_at, timezone=zone).text
        told = "06:41 on Sunday 29 November 2026 (Asia/Tokyo; 16:41 on Saturday 28 November 2026 in America/New_York)"
        assert f"closes at {told}." in text

    def test_a_reader_whose_clocks_agree_is_told_one(self) -> None:
        assert "closes at 08:00 on Thursday 26 November 2026 (Europe/Oslo)." in compose("reminder", "Europe/Oslo").text

    @EACH
    def test_every_instant_is_told_in_the_readers_zone(self, name: str) -> None:
        instants = [key for key in VALUES[name] if key.endswith("_at")]
        text = compose(name, "Asia/Tokyo").text
        assert text.count("2026 (Asia/Tokyo") == len(instants)
        assert not re.search(r"\d\d:\d\d(?! on \w+ \d| in [A-Z])", text)

    def test_a_window_that_has_closed_and_an_appeal_that_is_not_possible_are_not_offered(self) -> None:
        text = compose("proof_rejected", closes_at=None, appeal_until_at=None).text
        assert text.endswith("JPEG, PNG or WebP picture.\n")


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
