"""Usernames: which are allowed, which are reserved, and the nearest free one."""

import re
import secrets
from collections.abc import Iterator
from datetime import datetime

from chally import db
from chally.db import Tx
from chally.errors import FieldError, InvalidRequest
from identity.queries import registrations

PATTERN = "^[A-Za-z0-9_]{3,30}$"
MAX_TYPED = 200  # longer text gets no suggestion
_MIN, _MAX = 3, 30
_ALLOWED = "A username has 3 to 30 characters: the letters a to z, digits and the underscore."
_RESERVED = "This username is reserved: people could take it for one of ours."
_PURGED = "deleted_"  # begins the names of purged accounts

# Nobody may have these names; nor, where they speak with our authority, names with such a word in them.
_OURS = {
    *("abuse", "anonymous", "api", "deleted", "everyone", "help", "helpdesk", "hostmaster", "info", "mailerdaemon"),
    *("mod", "mods", "noreply", "null", "postmaster", "root", "security", "system", "team", "undefined", "webmaster"),
}
_AUTHORITY = {"admin", "administrator", "chally", "moderator", "official", "staff", "support"}
_BRAND = "chally"
_ANYWHERE = {"moderator", "administrat"}  # no other word contains them
_ENDINGS = ("admin", "support")  # of sysadmin, customersupport; badminton and supporter are words of their own
_CAPITALS = re.compile(r"_|(?<=[a-z])(?=[A-Z])")
_LOOK_ALIKE = str.maketrans("013456789i", "oleasgtbgl")  # what they look like; i, I and 1 like l
_FALLBACK = "runner"
_NUMBERS = range(2, 10)


def skeleton(name: str) -> str:
    """Return what two names have in common if they look alike (as UTS 39, for the characters of usernames)."""
    text = name.lower().replace("rn", "m").replace("vv", "w").replace("cl", "d").translate(_LOOK_ALIKE)
    return re.sub(r"(.)\1+", r"\1", text.replace("_", ""))


_AUTHORITY_SKELETONS = {skeleton(word) for word in _AUTHORITY}
_SKELETONS = _AUTHORITY_SKELETONS | {skeleton(word) for word in _OURS}
_ANYWHERE_SKELETONS = {skeleton(word) for word in _ANYWHERE}
_ENDING_SKELETONS = tuple(skeleton(word) for word in _ENDINGS)


def find_problem(name: str) -> str | None:
    """Return a sentence that says why nobody can have this name, or None."""
    if not re.fullmatch(PATTERN, name):
        return _ALLOWED
    if name.lower().startswith(_PURGED):
        return f"Usernames that begin with {_PURGED} are reserved."
    return _RESERVED if _is_reserved(name) else None


def check(name: str, now: datetime) -> None:
    """Raise `InvalidRequest` for a name that nobody can have; it says what is allowed, and offers a free name."""
    problem = find_problem(name)
    if problem is None:
        return
    with db.as_system("suggest a username", read_only=True) as tx:
        free = suggest(tx, name, now)
    raise InvalidRequest(errors=[FieldError(pointer="/username", message=f"{problem} {free} is free.")])


def suggest(tx: Tx, name: str, now: datetime) -> str:
    """Return the free name that is nearest to a text."""
    return registrations.first_free_username(tx, list(_candidates(name)), now)


def _is_reserved(name: str) -> bool:
    whole = {skeleton(name), skeleton(name.strip("0123456789_"))}
    words = {*name.split("_"), *_CAPITALS.split(name)}
    words |= {word.strip("0123456789") for word in words}
    if any(_is_one_of(text, _SKELETONS) or _speaks_for_us(text) for text in whole):
        return True
    parts = {skeleton(word) for word in words} - {""}
    if any(_is_one_of(part, _AUTHORITY_SKELETONS) or part.endswith(_ENDING_SKELETONS) for part in parts):
        return True
    if all(_is_one_of(skeleton(part), _SKELETONS) for part in _CAPITALS.split(name) if part.strip("0123456789")):
        return True
    return _BRAND in name.lower().replace("_", "").translate(_LOOK_ALIKE)


def _is_one_of(text: str, skeletons: set[str]) -> bool:
    """Whether it is one of these words, or its plural."""
    return text in skeletons or text.removesuffix("s") in skeletons


def _speaks_for_us(text: str) -> bool:
    return text.endswith(_ENDING_SKELETONS) or any(word in text for word in _ANYWHERE_SKELETONS)


def _candidates(name: str) -> Iterator[str]:
    """Allowed names, the nearest first. The last one is free, but for an accident."""
    base = _closest(name)
    yield base
    for number in _NUMBERS:
        yield f"{base[: _MAX - 1]}{number}"
    yield f"{base[: _MAX - 8]}{secrets.randbelow(10**8):08}"


def _closest(name: str) -> str:
    from anyascii import anyascii  # reads its tables, which only a suggestion needs

    plain = re.sub(r"[^A-Za-z0-9]+", "_", anyascii(name[:MAX_TYPED])).strip("_")
    for text in (plain, "_".join(word for word in plain.split("_") if not _is_reserved(word))):
        cut = text[:_MAX].rstrip("_")
        short = cut if len(cut) >= _MIN or not cut else f"{cut}_{_FALLBACK}"
        if find_problem(short) is None:
            return short
    return _FALLBACK
