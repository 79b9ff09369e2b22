"""A phone with an authenticator app."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pyotp

from chally import clock
from tests.support.api import Client, Response

Later = Callable[[timedelta], None]
STEP = timedelta(seconds=30)


@dataclass
class Phone:
    secret: str

    def code(self, steps: int = 0) -> str:
        """The code it shows if its clock is wrong by `steps` of 30 seconds."""
        return pyotp.TOTP(self.secret).at(clock.now(), counter_offset=steps)

    def wrong_code(self) -> str:
        """A code that it neither shows nor has shown recently."""
        shown = {self.code(steps) for steps in range(-3, 4)}
        return next(code for code in ("123456", "234567", "345678", "456789", "567890") if code not in shown)


def set_up(who: Client) -> Phone:
    """Scan the secret, without confirming it."""
    answer = who.post("/v1/me/totp")
    assert answer.status == 200, answer.text
    return Phone(answer.json["secret"])


def turn_on(who: Client, later: Later) -> tuple[Phone, list[str]]:
    """Turn TOTP on; return the phone, whose current code is unused, and the backup codes."""
    phone = set_up(who)
    answer = who.post("/v1/me/totp/confirm", {"code": phone.code()})
    assert answer.status == 200, answer.text
    later(STEP)
    return phone, answer.json["backup_codes"]


def sign_in(nobody: Client, username: str) -> str:
    """Sign in by password; return the mfa_token for the second factor."""
    answer = login(nobody, username)
    assert answer.code == "mfa_required", answer.text
    return str(answer.json["mfa_token"])


def login(nobody: Client, username: str) -> Response:
    return nobody.post("/v1/auth/login", {"login": username, "password": "long enough for us"})
