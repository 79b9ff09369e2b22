"""Wrong passwords in a row make a login wait, longer every time, and its owner is told by mail.

Counted by the login as it was typed, whether or not there is such an account: so waiting tells nobody whether there
is one, nor that a username and an address are the same person's. Nobody can lock a stranger out for good: where its
owner signed in lately an account does not wait, and any link in a mail to them ends the wait.
"""

from datetime import datetime

from chally import audit, ratelimit
from chally.db import Tx
from chally.ratelimit import network
from identity import links, rules, tokens
from identity.queries import failures as queries
from identity.queries import sessions
from identity.queries.users import User
from identity.rules import LoginLocked


def check(tx: Tx, login: str, account: User | None, *, ip: str | None, trusts_ips: bool, now: datetime) -> None:
    """Raise `LoginLocked` while the login has to wait."""
    found = queries.find(tx, tokens.digest(login), now - rules.FAILURES_LIVE)
    known = sessions.is_known_network(tx, account.id if account else None, network(ip), now - rules.KNOWN_IP_LIVES)
    if found is None or (known and trusts_ips):
        return
    wait = found.failed_at + rules.wait_after(found.failures) - now
    if wait.total_seconds() > 0:
        raise LoginLocked(wait)


def failed(tx: Tx, login: str, account: User | None, now: datetime) -> None:
    """Count a wrong password. When the wait gets longest, the owner is sent a link that ends it."""
    count = queries.add(tx, tokens.digest(login), now, now - rules.FAILURES_LIVE)
    audit.record(tx, "sign_in_failed", now, user_id=account.id if account else None, failures=count)
    if count % rules.LOCKED_FAILURES == 0:
        email = account.email if account else login
        links.send(tx, "unlock", email=email, account=account, now=now)


def lift(tx: Tx, account: User) -> None:
    """The owner is here: forget the failures."""
    queries.clear(tx, [tokens.digest(login) for login in _logins(account)])


def release(tx: Tx, account: User) -> None:
    """The owner follows a link of ours: forget the attempts of others from everywhere, too."""
    lift(tx, account)
    ratelimit.give_back(tx, "login_account", _logins(account))


def _logins(account: User) -> list[str]:
    return [login.lower() for login in (account.email, account.username)]
