"""The mails we send: a subject and a text for each template, and how they leave (SES)."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chally import aws


@dataclass(frozen=True, slots=True)
class Mail:
    subject: str
    text: str


# Of what an owner should know of, and may not have done: never a token, only the way to take the account back.
_NOT_YOU = (
    "If it was not you, set a new password at once; that signs out every device:\n\n"
    "{public_url}/v1/auth/password/forgot\n"
)
_TEMPLATES = {
    "verify_email": Mail(
        "Confirm your address for Chally, {username}",
        "Hello {username},\n\nconfirm your address, and that you want to be {username} at Chally, by this link, within"
        " 15 minutes:\n\n"
        "{public_url}/v1/auth/verify-email?token={token}\n\n"
        "If you did not register at Chally under this name, ignore this mail: without the link nothing happens.\n",
    ),
    "account_exists": Mail(
        "You already have an account at Chally",
        "Hello {username},\n\nsomebody, probably you, asked for an account at Chally with this address. You already"
        " have one: just sign in. If you have forgotten your password, set a new one here:\n\n"
        "{public_url}/v1/auth/password/forgot\n\nIf it was not you, you need not do anything.\n",
    ),
    "magic_link": Mail(
        "Your link to sign in to Chally",
        "Hello {username},\n\nsign in by this link, within 15 minutes. It works once:\n\n"
        "{public_url}/v1/auth/magic-link/verify?token={token}\n\n"
        "If you did not ask for it, ignore this mail, and pass the link on to nobody: whoever has it can sign in.\n",
    ),
    "password_reset": Mail(
        "Set a new password for Chally",
        "Hello {username},\n\nset a new password by this link, within 15 minutes. It works once:\n\n"
        "{public_url}/v1/auth/password/reset?token={token}\n\n"
        "If you did not ask for it, ignore this mail: your password stays as it is. Pass the link on to nobody.\n",
    ),
    "email_change": Mail(
        "Confirm your new address for Chally",
        "Hello {username},\n\nyou want this to be the address of your account at Chally. Confirm it by this link,"
        " within 15 minutes. It works once:\n\n"
        "{public_url}/v1/auth/email/confirm?token={token}\n\n"
        "If you did not ask for it, ignore this mail: without the link nothing happens.\n",
    ),
    "unlock": Mail(
        "Many wrong passwords for your account at Chally",
        "Hello {username},\n\nsomebody tried to sign in to your account with a wrong password, many times. To protect"
        " it we now let such attempts wait for up to 15 minutes each. Your password is as it was.\n\n"
        "If it was you, this link ends the wait. It is good for 15 minutes, once:\n\n"
        "{public_url}/v1/auth/unlock?token={token}\n\n"
        "If it was not you, you need not do anything. If your password is one that others may guess, set a better"
        " one:\n\n{public_url}/v1/auth/password/forgot\n",
    ),
    "session_reuse": Mail(
        "We have ended one of your sign-ins at Chally",
        "Hello {username},\n\na key of one of your sign-ins was used twice, so somebody may have copied it. We have"
        " ended that sign-in, and whoever used it must sign in again. A device that was restored from a backup"
        " can cause this, too.\n\nIf you cannot explain it, set a new password; that signs out every device:\n\n"
        "{public_url}/v1/auth/password/forgot\n",
    ),
    "password_changed": Mail(
        "Your password for Chally was changed",
        "Hello {username},\n\nthe password of your account was changed, and your other devices were signed out. If it"
        " was you, all is well.\n\n" + _NOT_YOU,
    ),
    "email_changed": Mail(
        "Your account at Chally has another address",
        "Hello {username},\n\nthe address of your account was changed, and this one belongs to it no more. If it was"
        " you, all is well.\n\nIf it was not you: sign in with your username, {username}, and your password; change"
        " the password, which signs out every other device, and then the address. If you cannot sign in any"
        " more, answer this mail at once, and we help you.\n",
    ),
    "second_factor_changed": Mail(
        "How you sign in to Chally was changed",
        "Hello {username},\n\n{change} If it was you, all is well.\n\n" + _NOT_YOU + "\nThen remove every passkey and"
        " app that is not yours. If you are asked for a code of an app that you do not have, answer this mail at once,"
        " and we help you.\n",
    ),
    "deletion_requested": Mail(
        "Your account at Chally will be deleted",
        "Hello {username},\n\nyou asked us to delete your account. It is hidden and signed out from now on, and on"
        " {purged_on} all that we hold on you is deleted for good.\n\nIf you change your mind, sign in before then:"
        " that keeps the account.\n\n" + _NOT_YOU + "\nThen sign in, so that the account stays.\n",
    ),
    "deletion_cancelled": Mail(
        "Your account at Chally stays",
        "Hello {username},\n\nyou have signed in, so your account is not deleted. Welcome back!\n\n" + _NOT_YOU,
    ),
    "export_ready": Mail(
        "Your data from Chally is ready",
        "Hello {username},\n\nthe export that you asked for is ready, as a ZIP file. While you are signed in, your app"
        " fetches it from here; after some days we delete it:\n\n{link}\n\n"
        "If you did not ask for it, set a new password; that signs out every device:\n\n"
        "{public_url}/v1/auth/password/forgot\n",
    ),
    "proof_rejected": Mail(
        "Not accepted: your proof for {title}",
        "Hello {username},\n\nyour photo for \u201c{title}\u201d was not accepted:\n\n{reasons}\n\n"
        "While your window is open you can send another one; it closes at {closes} ({timezone}).\n{appeal}",
    ),
    "proof_reviewed": Mail(
        "Your proof for {title} was {outcome}",
        "Hello {username},\n\nsomebody looked at your proof for \u201c{title}\u201d. It was {outcome}:\n\n{reason}\n"
        "{appeal}",
    ),
    "review_wanted": Mail(
        "A proof in {title} waits for you",
        "Hello {username},\n\na proof in your challenge \u201c{title}\u201d waits for you to look at it: we could not "
        "be sure of it, or its participant appeals our verdict. Accept or reject it in the app. It is the proof"
        " {proof_id}.\n",
    ),
    "moderation_wanted": Mail(
        "A proof in {title} waits for a moderator",
        "Hello {username},\n\na proof in \u201c{title}\u201d waits for a moderator: it is the owner's own, or much like"
        " a photo of another challenge, or an appeal against what the owner decided. Accept or reject it in the app."
        " It is the proof {proof_id}.\n",
    ),
    "reminder": Mail(
        "Still open: {title}",
        "Hello {username},\n\nyour window for \u201c{title}\u201d closes at {closes} ({timezone})."
        " Send your proof before then.\n\nHave a good one!\n",
    ),
}


def compose(template: str, values: dict[str, Any], *, public_url: str) -> Mail:
    """The mail of a template. KeyError for an unknown template or a missing value."""
    mail = _TEMPLATES[template]
    # a message of the release before this one has no `appeal`
    known = {"appeal": ""} | values | {"public_url": public_url}
    # a title is people's text: a line break in it must not become a header
    subject = " ".join(mail.subject.format_map(known).split())
    return Mail(subject, mail.text.format_map(known))


def send(mail: Mail, *, to: str, sender: str, message_id: UUID) -> None:
    """Hand a mail to SES. The id is the same at every attempt, so that a repeat can be recognised."""
    aws.client("sesv2").send_email(
        FromEmailAddress=sender,
        Destination={"ToAddresses": [to]},
        Content={
            "Simple": {
                "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                "Body": {"Text": {"Data": mail.text, "Charset": "UTF-8"}},
                "Headers": [{"Name": "X-Chally-Message-Id", "Value": str(message_id)}],
            }
        },
    )
