"""The texts of mails: a subject and a text for each template.

Texts that people typed stand between quotation marks; `notifications.mail` makes them safe. Names that end in `_at` are
instants, told in the reader's time zone.
"""

from dataclasses import dataclass, field

from notifications.unsubscribe import MailKind


@dataclass(frozen=True, slots=True)
class Template:
    """`optional`: paragraphs by the name of a value without which they are left out. `kind`: of mails that come by
    themselves, which a person can switch off.
    """

    subject: str
    text: str
    optional: dict[str, str] = field(default_factory=dict)
    kind: MailKind | None = None


# In mails about a change that the account's owner may not have made. They contain no token, only how to recover.
_NOT_YOU = (
    "If it was not you, set a new password now. That signs out every device:\n\n{public_url}/v1/auth/password/forgot\n"
)
_NOT_YOUR_FACTOR = (
    _NOT_YOU + "\nThen remove every passkey and authenticator app that is not yours. If you are asked for a code from"
    " an app that you do not have, reply to this email now, and we will help you.\n"
)
_APPEAL = "If this is a mistake, appeal in the app by {appeal_until_at}. A person will then review it.\n"
TEMPLATES = {
    "verify_email": Template(
        "Confirm your email address for Chally, {username}",
        "Hello {username},\n\nTo create the account {username} at Chally, confirm your email address within 15"
        " minutes:\n\n"
        "{public_url}/v1/auth/verify-email?token={token}\n\n"
        "If you did not register with this name, ignore this email: without this link, no account is created.\n",
        {
            "names": "This address was registered more than once within 15 minutes, with different passwords, as"
            " {names}. Somebody else may have used it, so no password will be set at first: after you confirm, we will"
            " send you a link for setting one. Follow only the link with the username that you chose.\n"
        },
    ),
    "account_exists": Template(
        "You already have an account at Chally",
        "Hello {username},\n\nSomeone, probably you, tried to register at Chally with this email address. You already"
        " have an account: just sign in. If you have forgotten your password, set a new one here:\n\n"
        "{public_url}/v1/auth/password/forgot\n\nIf it was not you, you do not need to do anything.\n",
    ),
    "magic_link": Template(
        "Your link to sign in to Chally",
        "Hello {username},\n\nUse this link within 15 minutes to sign in. It works once:\n\n"
        "{public_url}/v1/auth/magic-link/verify?token={token}\n\n"
        "Do not share this link: anyone who has it can sign in as you. If you did not request it, ignore this email.\n",
    ),
    "password_reset": Template(
        "Set a new password for Chally",
        "Hello {username},\n\nUse this link within 15 minutes to set a new password. It works once:\n\n"
        "{public_url}/v1/auth/password/reset?token={token}\n\n"
        "Do not share this link. If you did not request it, ignore this email: your password stays the same.\n",
    ),
    "password_unset": Template(
        "Set a password for your account at Chally",
        "Hello {username},\n\nYour address is confirmed, and your account {username} is ready, but it has no password"
        " yet: your address was registered more than once, with different passwords, and we cannot know which one is"
        " yours. Use this link within 15 minutes to set a password. It works once:\n\n"
        "{public_url}/v1/auth/password/reset?token={token}\n\n"
        "If it has expired, request a new one:\n\n{public_url}/v1/auth/password/forgot\n\n"
        "Do not share this link. If you chose another username, change it in your account.\n",
    ),
    "email_change": Template(
        "Confirm your new email address for Chally",
        "Hello {username},\n\nTo use this email address for your account at Chally, confirm it within 15 minutes. This"
        " link works once:\n\n"
        "{public_url}/v1/auth/email/confirm?token={token}\n\n"
        "If you did not request this, ignore this email: without the link, nothing changes.\n",
    ),
    "unlock": Template(
        "Many wrong passwords for your account at Chally",
        "Hello {username},\n\nSomeone tried many times to sign in to your account with a wrong password. To protect"
        " your account, we now delay each attempt by up to 15 minutes. Your password is unchanged.\n\n"
        "If it was you, this link ends the delay. It works once, within 15 minutes:\n\n"
        "{public_url}/v1/auth/unlock?token={token}\n\n"
        "If it was not you, you do not need to do anything. If your password is easy to guess, set a better one:\n\n"
        "{public_url}/v1/auth/password/forgot\n",
    ),
    "password_guessed": Template(
        "Wrong passwords in your account at Chally",
        "Hello {username},\n\nSomeone who is signed in to your account entered a wrong password {failures} times in a"
        " row, to make a change that requires it. To protect your account, we now delay each attempt. Your password is"
        " unchanged. If it was you, you do not need to do anything.\n\n" + _NOT_YOU,
    ),
    "second_factor_guessed": Template(
        "Wrong codes for your account at Chally",
        "Hello {username},\n\nSomeone entered a wrong second factor for your account {failures} times in a row. None"
        " was accepted. Only someone who knows your password or has a device that is signed in can try this. If it was"
        " you, check your phone's clock: the codes depend on it.\n\n" + _NOT_YOU,
    ),
    "session_reuse": Template(
        "We signed out one of your devices from Chally",
        "Hello {username},\n\nThe sign-in key of one of your devices was used twice, so it may have been copied. We"
        " have signed out that device: sign in again to use it. Restoring a device from a backup can also cause"
        " this.\n\nIf you cannot explain it, set a new password. That signs out every device:\n\n"
        "{public_url}/v1/auth/password/forgot\n",
    ),
    "password_changed": Template(
        "Your password for Chally was changed",
        "Hello {username},\n\nThe password of your account was changed, and your other devices were signed out. If it"
        " was you, you do not need to do anything.\n\n" + _NOT_YOU,
    ),
    "email_changed": Template(
        "The email address of your account at Chally was changed",
        "Hello {username},\n\nThe email address of your account was changed, and this address no longer belongs to it."
        " If it was you, you do not need to do anything.\n\nIf it was not you, sign in with your username, {username},"
        " and your password. First change the password, which signs out every other device, then the email address. If"
        " you cannot sign in, reply to this email now, and we will help you.\n",
    ),
    "second_factor_changed": Template(
        "How you sign in to Chally was changed",
        "Hello {username},\n\n{change} If it was you, you do not need to do anything.\n\n" + _NOT_YOUR_FACTOR,
    ),
    "passkey_added": Template(
        "A passkey was added to your account at Chally",
        "Hello {username},\n\nThe passkey named \u201c{name}\u201d was added to your account. If it was you, you do not"
        " need to do anything.\n\n" + _NOT_YOUR_FACTOR,
    ),
    "passkey_removed": Template(
        "A passkey was removed from your account at Chally",
        "Hello {username},\n\nThe passkey named \u201c{name}\u201d was removed from your account. If it was you, you do"
        " not need to do anything.\n\n" + _NOT_YOUR_FACTOR,
    ),
    "deletion_requested": Template(
        "Your account at Chally will be deleted",
        "Hello {username},\n\nYou requested the deletion of your account. It is hidden and signed out now. We will"
        " delete your account and your personal data for good after {purged_at}. Results in challenges stay, without"
        " your name.\n\nIf you change your mind, sign in before then to keep your account.\n\n"
        + _NOT_YOU
        + "\nThen sign in to keep your account.\n",
    ),
    "deletion_cancelled": Template(
        "Your account at Chally will not be deleted",
        "Hello {username},\n\nYou signed in, so your account will not be deleted. Welcome back!\n\n" + _NOT_YOU,
    ),
    "export_ready": Template(
        "Your data from Chally is ready",
        "Hello {username},\n\nThe export that you requested is ready, as a ZIP file. While you are signed in, your app"
        " can download it here until {expires_at}, when we delete it:\n\n{link}\n\n"
        "If you did not request it, set a new password. That signs out every device:\n\n"
        "{public_url}/v1/auth/password/forgot\n",
    ),
    "proof_rejected": Template(
        "Your proof for \u201c{title}\u201d was not accepted",
        "Hello {username},\n\nYour photo for \u201c{title}\u201d was not accepted:\n\n{reasons}\n",
        optional={
            "closes_at": "You can send another one until your window closes, at {closes_at}.\n",
            "appeal_until_at": _APPEAL,
        },
    ),
    "proof_reviewed": Template(
        "Your proof for \u201c{title}\u201d was {outcome}",
        "Hello {username},\n\nA person reviewed your proof for \u201c{title}\u201d. It was {outcome}. The reviewer"
        " wrote:\n\n\u201c{reason}\u201d\n",
        optional={"appeal_until_at": _APPEAL},
    ),
    "review_wanted": Template(
        "A proof in \u201c{title}\u201d needs your review",
        "Hello {username},\n\nA proof in your challenge \u201c{title}\u201d needs your review: our checks were"
        " inconclusive, or its participant appealed a rejection. Accept or reject the proof in the app. Its id is"
        " {proof_id}.\n",
    ),
    "moderation_wanted": Template(
        "A proof in \u201c{title}\u201d needs a moderator",
        "Hello {username},\n\nA proof in \u201c{title}\u201d needs a moderator: it is the owner's own, it is similar to"
        " a photo of another challenge, or its participant appealed the owner's decision. Accept or reject the proof in"
        " the app. Its id is {proof_id}.\n",
    ),
    "reminder": Template(
        "Still open: \u201c{title}\u201d",
        "Hello {username},\n\nYour window for \u201c{title}\u201d closes at {closes_at}."
        " Send your proof before then.\n\nGood luck!\n\n"
        "To get no more reminders, open this link:\n\n{unsubscribe_url}\n",
        kind="reminders",
    ),
}
