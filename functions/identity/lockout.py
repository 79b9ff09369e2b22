"""Lockout: wrong passwords in a row make a login wait, longer every time, and the owner gets an email.

Failures are counted per login (a username or an address, in lower case), whether or not the account exists. So a wait
reveals neither that an account exists nor that a username and an address are the same person's. An attacker cannot lock
the owner out for good: logins from networks that the owner used recently do not wait, and any link in an email to them
ends the wait.

Wrong guesses of one's own password while signed in, and wrong second factors, count by themselves, per account.
"""

from datetime import datetime, timedelta
from uuid import UUID

from chally import audit, outbox, ratelimit
from chally.db import Tx
from chally.ratelimit import network
from identity import links, rules, tokens
from identity.queries import failures as queries
from identity.queries import sessions
from identity.queries.failures import LoginFailures
from identity.queries.users import User
from identity.rules import LoginLocked, PasswordLocked


def check(tx: Tx, login: str, account: User | None, *, ip: str | None, trusts_ips: bool, now: datetime) -> None:
    """Raise `LoginLocked` while the login has to wait. `trusts_ips`: whether recently used networks are exempt."""
    found = queries.find(tx, tokens.digest(login), now - rules.FAILURES_LIVE)
    known = is_known(tx, account, ip, now)
    if trusts_ips and known:
        return
    wait = _wait(found, now)
    if wait is not None:
        raise LoginLocked(wait)


def is_known(tx: Tx, account: User | None, ip: str | None, now: datetime) -> bool:
    """Whether the account's owner signed in from this network recently."""
    return sessions.is_known_network(tx, account.id if account else None, network(ip), now - rules.KNOWN_IP_LIVES)


def record_failure(tx: Tx, login: str, account: User | None, now: datetime) -> None:
    """Count a wrong password. When the wait reaches its maximum, mail the owner a link that ends it."""
    count = queries.add(tx, tokens.digest(login), now, now - rules.FAILURES_LIVE)
    audit.record(tx, "sign_in_failed", now, user_id=account.id if account else None, failures=count)
    if count % rules.LOCKED_FAILURES == 0:
        email = account.email if account else login
        links.send(tx, "unlock", email=email, account=account, now=now)


def record_factor_failure(tx: Tx, user_id: UUID, now: datetime, *, by: str) -> None:
    """Count a wrong second factor. After several in a row tell the owner: they can only be tried by someone who knows
    the password or has a device that is signed in.
    """
    count = queries.add(tx, _factor(user_id), now, now - rules.FAILURES_LIVE)
    audit.record(tx, "second_factor_failed", now, user_id=user_id, by=by, failures=count)
    if count == rules.FIRST_WAIT_FAILURES or count % rules.LOCKED_FAILURES == 0:
        values = {"failures": str(count)}
        outbox.add(tx, "mail", {"template": "second_factor_guessed", "user_id": str(user_id), "values": values})


def clear_factor(tx: Tx, user_id: UUID) -> None:
    """Reset what `record_factor_failure` counted."""
    queries.clear(tx, [_factor(user_id)])


def check_own(tx: Tx, account: User, now: datetime) -> None:
    """Raise `PasswordLocked` while a signed-in person has to wait after wrong guesses of their own password."""
    wait = _wait(queries.find(tx, _own(account), now - rules.FAILURES_LIVE), now)
    if wait is not None:
        raise PasswordLocked(wait)


def record_own_failure(tx: Tx, account: User, now: datetime) -> None:
    """Count a wrong guess by somebody who is signed in. When the waits begin, and when they are longest, tell the
    owner: somebody else may have their device.
    """
    count = queries.add(tx, _own(account), now, now - rules.FAILURES_LIVE)
    audit.record(tx, "password_check_failed", now, user_id=account.id, failures=count)
    if count == rules.FIRST_WAIT_FAILURES or count % rules.LOCKED_FAILURES == 0:
        values = {"failures": str(count)}
        outbox.add(tx, "mail", {"template": "password_guessed", "user_id": str(account.id), "values": values})


def clear_own(tx: Tx, account: User) -> None:
    """Reset what `record_own_failure` counted."""
    queries.clear(tx, [_own(account)])


def clear(tx: Tx, account: User) -> None:
    """Reset the failures after the owner signed in."""
    queries.clear(tx, [tokens.digest(login) for login in _logins(account)])


def unlock(tx: Tx, account: User) -> None:
    """Reset the failures and the account's rate limit after the owner followed a link in an email."""
    clear(tx, account)
    clear_own(tx, account)
    ratelimit.reset(tx, "login_account", _logins(account))


def _wait(found: LoginFailures | None, now: datetime) -> timedelta | None:
    if found is None:
        return None
    wait = found.failed_at + rules.wait_after(found.failures) - now
    return wait if wait > timedelta(0) else None


def _own(account: User) -> bytes:
    """The key of guesses in a session; `personal_data` computes the same. No login has a space in it."""
    return tokens.digest(f"account {account.id}")


def _factor(user_id: UUID) -> bytes:
    return tokens.digest(f"factor {user_id}")


def _logins(account: User) -> list[str]:
    return [login.lower() for login in (account.email, account.username)]
