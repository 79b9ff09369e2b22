"""Passwords: which are good enough, and their hashes. argon2id; those of the former Chally (bcrypt) verify once.

The function that hashes has one vCPU; these parameters take it about 20 ms.
"""

from functools import cache

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from identity import rules

# OWASP Password Storage Cheat Sheet, argon2id: m=19 MiB, t=2, p=1.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Of no password: verified against where there is no account, so that both cases take the same time.
NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$kWMUEb8vUPRpwqT1cSE9wgPqcpYHzDLXpwaGsQbkEqM"
NOBODY_BCRYPT = "$2b${:02}$ARc6a6d/e6O0UcUwzaF9POLCtAbxlrhrlsS.4HY0QbhWmQidAorpm"
BCRYPT_MAX = 72  # bytes: more of a password bcrypt never looked at


def check(password: str, *, username: str, email: str, pointer: str = "/password") -> None:
    """Raise `InvalidRequest` for a password that is too short, too long, common or made of their name or address."""
    rules.check_password(rules.normalise(password), username=username, email=email, common=_common(), pointer=pointer)


def make(password: str) -> str:
    """The hash to store, in PHC string format."""
    return _hasher.hash(rules.normalise(password))


def matches(stored: str, password: str, *, bcrypt_cost: int | None = None) -> bool:
    """Whether a password is the one whose hash is stored.

    While any account has a bcrypt hash (of `bcrypt_cost`) both kinds are verified, one of them for nothing: the time
    must not tell the accounts of the former Chally from those that do not exist.
    """
    is_bcrypt = stored.startswith("$2")
    argon2_matches = _argon2(NOBODY if is_bcrypt else stored, password)
    if is_bcrypt:
        return _bcrypt(stored, password)
    if bcrypt_cost is not None:
        _bcrypt(NOBODY_BCRYPT.format(bcrypt_cost), password)
    return argon2_matches


def is_outdated(stored: str) -> bool:
    """Whether a hash was made with another function or parameters than today's: it is made anew at a sign-in."""
    return stored.startswith("$2") or _hasher.check_needs_rehash(stored)


def _argon2(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, rules.normalise(password))
    except (VerificationError, InvalidHashError):
        return False


def _bcrypt(stored: str, password: str) -> bool:
    """As the former Chally did: the password as it came, and of that the first 72 bytes."""
    try:
        return bcrypt.checkpw(password.encode()[:BCRYPT_MAX], stored.encode())
    except ValueError:
        return False


@cache
def _common() -> frozenset[str]:
    """The 30,000 most common passwords, as zxcvbn ships them, in lower case."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])
