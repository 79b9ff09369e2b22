"""Redaction of logs: passwords, tokens, codes, cookies, keys, signatures, and the local part of mail addresses.

Three rules, as none of them finds everything: values under the name of a secret, in data (`{"password": …}`) and in
text (`password=…`, reprs, query strings, headers, source lines); values with a recognisable form (JWTs, tokens of 256
bits, addresses, PEM); and the exact values that a request sent (`hiding`).
Ids stay readable: UUIDs, kids, trace ids and hashes are lower-case hex.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice

REDACTED = "[redacted]"
DEPTH = 12
SHORTEST_HIDDEN = 5  # characters; shorter values are part of many words
MOST_HIDDEN = 1000  # values; no valid body has more, and redacting for a body of a megabyte must not take seconds

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET = re.compile(
    r".*(password|passwd|passphrase|secret|token|cookie|credential|signature)s?"
    r"|pwd|codes?|otp|otpauth|totp|qr|csrf|jwt|authorization|assertion|attestation"
)
# A name with such a last word describes a secret without holding it: secret_arn, token_type, TokenInvalid.
_ABOUT = {"arn", "type", "id", "ids", "name", "kid", "count", "error", "exception", "invalid", "required", "reused"}
_HARMLESS_CODES = {"status", "error", "exit", "reason"}
_SECRET_KEYS = {"private", "sealing", "refresh", "access", "api"}

_USERINFO = re.compile(r"(?<=://)[^\s/@]*:[^\s/]*(?=@)")
_BEFORE_AT = r"""[^\s@<>()\[\]",;:\\]"""
_ADDRESS = re.compile(rf"(?<!{_BEFORE_AT})({_BEFORE_AT}+)(@|%40)(?=[\w\[])")
_SEPARATORS = re.compile(r"[=/'`|&?{}%]")  # legal in an address, but usually before it, as in to=kari@…
_JWT = re.compile(r"(?<![\w-])(?=[\w-]*eyJ)[\w-]++\.[\w-]++(?:\.[\w-]*+)?", re.ASCII)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_LONG = re.compile(r"(?<![\w-])[\w-]{43,}", re.ASCII)
_HEX = re.compile(r"[0-9a-f-]+")
# A name and the separator before its value. Spaces around `=` count only before a quoted value: source code has many.
_NAME = re.compile(r"""(?<![\w-])([\w-]++)(?:\\*["'])?(?:[ \t]*+:[ \t]*+|=|[ \t]*+=[ \t]*+(?=b?\\*["']))""")
_VALUE = re.compile(
    r"""b?\\*"(?:[^"\\]|\\.)*+"?
      | b?\\*'(?:[^'\\]|\\.)*+'?
      | (?i:bearer|basic)[ ]++[^\s"',]++
      | [\w.]++\([^)]*+\)?
      | [\[({][^\])}]*+[\])}]?
      | (?:\[redacted\]|[^\s&;,"'\])}])++
    """,
    re.VERBOSE | re.DOTALL,
)
_COOKIES = re.compile(r"""[^\r\n"'\\]++""")

_hidden: tuple[str, ...] = ()


@contextmanager
def hiding(values: Iterable[str]) -> Iterator[None]:
    """Also redact these exact values, their reprs and their JSON, inside the `with` block."""
    global _hidden
    before = _hidden
    spellings = {
        spelling
        for value in islice(values, MOST_HIDDEN)
        if len(value) >= SHORTEST_HIDDEN
        for spelling in (value, repr(value)[1:-1], json.dumps(value)[1:-1])
    }
    _hidden = tuple(sorted(spellings, key=len, reverse=True))
    try:
        yield
    finally:
        _hidden = before


def secrets_in(data: object, *, is_secret: bool = False, depth: int = 0) -> Iterator[str]:
    """The values under names of secrets, as text, at any depth of what a request sent."""
    if isinstance(data, dict) and depth <= DEPTH:
        for name, value in data.items():
            yield from secrets_in(value, is_secret=is_secret or is_secret_name(str(name)), depth=depth + 1)
    elif isinstance(data, list | tuple) and depth <= DEPTH:
        for value in data:
            yield from secrets_in(value, is_secret=is_secret, depth=depth + 1)
    elif is_secret and data is not None and not isinstance(data, bool):
        yield str(data)


def is_id(text: str) -> bool:
    """Whether a text has the form of our ids and hashes."""
    return _HEX.fullmatch(text) is not None


@lru_cache(maxsize=2048)
def is_secret_name(name: str) -> bool:
    """Whether a name is that of a secret: `current_password`, `X-CSRF-Token`, `__Host-access`, `mfaCode`."""
    if name.lower().startswith("__host-") or name == "new":  # a new password, in POST /v1/me/password
        return True
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    before = words[-2] if len(words) > 1 else ""
    if words[-1] in ("key", "keys"):
        return before in _SECRET_KEYS
    if words[-1] in ("code", "codes"):
        return before not in _HARMLESS_CODES
    return any(_SECRET.fullmatch(word) for word in words)


def redact(value: object, depth: int = 0) -> object:
    """A copy for JSON without secrets. Objects that JSON cannot represent become text."""
    if isinstance(value, str):
        return redact_text(value)
    if value is None or isinstance(value, int | float):
        return value
    if depth > DEPTH:
        return "[too deep]"
    if isinstance(value, dict):
        return {_name(name): _member(name, member, depth) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [redact(member, depth + 1) for member in value]
    return redact_text(str(value))


def _member(name: object, value: object, depth: int) -> object:
    if isinstance(name, str) and value is not None and not isinstance(value, bool) and is_secret_name(name):
        return REDACTED
    return redact(value, depth + 1)


def _name(name: object) -> object:
    """A member's name without secrets: clients choose names too."""
    return _short(name) if isinstance(name, str) and not _hidden else redact_text(str(name))


def redact_text(text: str) -> str:
    """A text without secrets. A mail address keeps its first letter and its domain."""
    for value in _hidden:
        text = text.replace(value, REDACTED)
    if "@" in text or "%40" in text:
        text = _ADDRESS.sub(_mask, _USERINFO.sub(REDACTED, text))
    if "eyJ" in text:
        text = _JWT.sub(REDACTED, text)
    if "PRIVATE KEY" in text:
        text = _PEM.sub(REDACTED, text)
    if "=" in text or ":" in text:
        text = _redact_named(text)
    if len(text) >= 43:
        text = _LONG.sub(_redact_long, text)
    return text


_short = lru_cache(maxsize=2048)(redact_text)


def _redact_named(text: str) -> str:
    pieces: list[str] = []
    done = 0
    for found in _NAME.finditer(text):
        name, before = found[1], text[found.start() - 1 : found.start()]
        in_arn = name == "secret" and before == ":"  # arn:aws:secretsmanager:…:secret:…
        if found.end() <= done or in_arn or not is_secret_name(name):
            continue
        value = (name.lower().endswith("cookie") and _COOKIES.match(text, found.end())) or _VALUE.match(
            text, found.end()
        )
        if value is not None:
            pieces += text[done : found.end()], REDACTED
            done = value.end()
    return "".join(pieces) + text[done:] if pieces else text


def _mask(found: re.Match[str]) -> str:
    local, at = found.groups()
    plain = _SEPARATORS.split(local)[-1]
    return f"{local[: len(local) - len(plain)]}{plain[0]}…{at}" if plain else f"{local[0]}…{at}"


def _redact_long(found: re.Match[str]) -> str:
    return found[0] if is_id(found[0]) else REDACTED
