"""Lockout: wrong passwords in a row make a login wait, longer every time, and the owner gets an email.

Failures are counted per login (a username or an address, in lower case), whether or not the account exists. So a wait
reveals neither that an account exists nor that a username and an address are the same person's. An attacker cannot lock
the owner out for good: logins from networks that the owner used recently do not wait, and any link in an email to them
ends the wait.
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
    """Raise `LoginLocked` while the login has to wait. `trusts_ips`: whether recently used networks are exempt."""
    found = queries.find(tx, tokens.digest(login), now - rules.FAILURES_LIVE)
    known = sessions.is_known_network(tx, account.id if account else None, network(ip), now - rules.KNOWN_IP_LIVES)
    if found is None or (known and trusts_ips):
        return
    wait = found.failed_at + rules.wait_after(found.failures) - now
    if wait.total_seconds() > 0:
        raise LoginLocked(wait)


def record_failure(tx: Tx, login: str, account: User | None, now: datetime) -> None:
    """Count a wrong password. When the wait reaches its maximum, mail the owner a link that ends it."""
    count = queries.add(tx, tokens.digest(login), now, now - rules.FAILURES_LIVE)
    audit.record(tx, "sign_in_failed", now, user_id=account.id if account else None, failures=count)
    if count % rules.LOCKED_FAILURES == 0:
        email = account.email if account else login
        links.send(tx, "unlock", email=email, account=account, now=now)


def clear(tx: Tx, account: User) -> None:
    """Reset the failures after the owner signed in."""
    queries.clear(tx, [tokens.digest(login) for login in _logins(account)])


def unlock(tx: Tx, account: User) -> None:
    """Reset the failures and the account's rate limit after the owner followed a link in an email."""
    clear(tx, account)
    ratelimit.reset(tx, "login_account", _logins(account))


def _logins(account: User) -> list[str]:
    return [login.lower() for login in (account.email, account.username)]
