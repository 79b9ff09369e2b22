"""A phone with an authenticator app on it."""

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
        """What it shows when its clock is wrong by so many steps of 30 seconds."""
        return pyotp.TOTP(self.secret).at(clock.now(), counter_offset=steps)

    def wrong_code(self) -> str:
        """One that it does not show, and has not shown for long."""
        shown = {self.code(steps) for steps in range(-3, 4)}
        return next(code for code in ("123456", "234567", "345678", "456789", "567890") if code not in shown)


def set_up(who: Client) -> Phone:
    """Scans the secret; it is not on yet."""
    answer = who.post("/v1/me/totp")
    assert answer.status == 200, answer.text
    return Phone(answer.json["secret"])


def turn_on(who: Client, later: Later) -> tuple[Phone, list[str]]:
    """The phone, whose code of this moment is still good, and the backup codes."""
    phone = set_up(who)
    answer = who.post("/v1/me/totp/confirm", {"code": phone.code()})
    assert answer.status == 200, answer.text
    later(STEP)
    return phone, answer.json["backup_codes"]


def sign_in(nobody: Client, username: str) -> str:
    """The mfa_token of a sign-in by password, that waits for its second factor."""
    answer = login(nobody, username)
    assert answer.code == "mfa_required", answer.text
    return str(answer.json["mfa_token"])


def login(nobody: Client, username: str) -> Response:
    return nobody.post("/v1/auth/login", {"login": username, "password": "long enough for us"})
