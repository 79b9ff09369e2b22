"""Passwords: the strength check and the hashes. New hashes are argon2id; bcrypt hashes, imported from the former
Chally, are replaced at the first sign-in.

The function that hashes has one vCPU; with these parameters a hash takes it about 20 ms.
"""

from functools import cache

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from identity import rules

# OWASP Password Storage Cheat Sheet, argon2id: m=19 MiB, t=2, p=1.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Hashes of no password. They are verified where there is no account, so that both cases take the same time.
DUMMY_HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$kWMUEb8vUPRpwqT1cSE9wgPqcpYHzDLXpwaGsQbkEqM"
DUMMY_BCRYPT_HASH = "$2b${:02}$ARc6a6d/e6O0UcUwzaF9POLCtAbxlrhrlsS.4HY0QbhWmQidAorpm"
BCRYPT_MAX = 72  # bytes; bcrypt ignores the rest of a password


def check(password: str, *, username: str, email: str, pointer: str = "/password") -> None:
    """Raise `InvalidRequest` if a password is too short, too long, common, or contains the username or address."""
    rules.check_password(rules.normalise(password), username=username, email=email, common=_common(), pointer=pointer)


def make_hash(password: str) -> str:
    """Hash a password for storage, in PHC string format."""
    return _hasher.hash(rules.normalise(password))


def matches(stored: str, password: str, *, bcrypt_cost: int | None = None) -> bool:
    """Whether a password matches a stored hash.

    While any account has a bcrypt hash (with `bcrypt_cost`), both algorithms run every time: otherwise the timing would
    tell accounts with an imported hash from logins without an account.
    """
    is_bcrypt = stored.startswith("$2")
    argon2_matches = _argon2(DUMMY_HASH if is_bcrypt else stored, password)
    if is_bcrypt:
        return _bcrypt(stored, password)
    if bcrypt_cost is not None:
        _bcrypt(DUMMY_BCRYPT_HASH.format(bcrypt_cost), password)
    return argon2_matches


def is_outdated(stored: str) -> bool:
    """Whether a hash uses an older algorithm or parameters; a sign-in then replaces it."""
    return stored.startswith("$2") or _hasher.check_needs_rehash(stored)


def _argon2(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, rules.normalise(password))
    except (VerificationError, InvalidHashError):
        return False


def _bcrypt(stored: str, password: str) -> bool:
    """Verify as the former Chally did: no normalisation, and only the first 72 bytes."""
    try:
        return bcrypt.checkpw(password.encode()[:BCRYPT_MAX], stored.encode())
    except ValueError:
        return False


@cache
def _common() -> frozenset[str]:
    """Return the 30,000 most common passwords, in lower case, from zxcvbn's list."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])
