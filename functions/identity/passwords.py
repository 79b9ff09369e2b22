"""Password hashes: argon2id. The function that uses it has one vCPU; these parameters take it about 20 ms."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP Password Storage Cheat Sheet, argon2id: m=19 MiB, t=2, p=1.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Of no password: verified against where there is no account, so that both cases take the same time.
NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$kWMUEb8vUPRpwqT1cSE9wgPqcpYHzDLXpwaGsQbkEqM"


def make(password: str) -> str:
    """The hash to store for a normalised password, in PHC string format."""
    return _hasher.hash(password)


def matches(stored: str, password: str) -> bool:
    """Whether a normalised password is the one whose hash is stored."""
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(stored: str) -> bool:
    """Whether a hash was made with other parameters than today's, and should be made anew at the next sign-in."""
    return _hasher.check_needs_rehash(stored)
