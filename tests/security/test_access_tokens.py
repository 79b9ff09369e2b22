"""Access tokens with our own signature but other claims or spellings. We are stricter than RFC 7519: there is one
issuer, and we accept exactly the claims that it signs, in the types in which it signs them.
"""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import uuid4

from chally import db
from identity import links, tokens
from identity.queries import second_factors, users
from tests.support.api import Client
from tests.support.database import Database
from tests.support.token_forger import Forger, text

Mails = Callable[[], list[dict[str, Any]]]
EVIL = "https://evil.example/keys"


def test_a_token_with_a_repeated_member_is_refused(forger: Forger) -> None:
    """Two parsers may read different values, and our issuer never repeats a member."""
    header, payload = json.dumps(forger.header), json.dumps(forger.claims)

    def twice(json_object: str, member: str, *, first: bool) -> bytes:
        inside = json_object[1:-1]
        return f"{{{member}, {inside}}}".encode() if first else f"{{{inside}, {member}}}".encode()

    forgeries = {}
    for first, (name, value) in product((True, False), (("alg", "none"), ("kid", "evil"), ("typ", "JWT"))):
        changed = twice(header, f'"{name}": "{value}"', first=first)
        forgeries[f"{name} {first}"] = forger.sign(changed, payload.encode())
        same = twice(header, f'"{name}": "{forger.header[name]}"', first=first)
        forgeries[f"{name} {first}, the same"] = forger.sign(same, payload.encode())
    escaped = twice(header, '"\\u0061lg": "none"', first=True)
    forgeries["escaped"] = forger.sign(escaped, payload.encode())
    for first, (name, claim) in product((True, False), (("sub", str(uuid4())), ("sid", str(uuid4())), ("exp", 9**10))):
        changed = twice(payload, f'"{name}": {json.dumps(claim)}', first=first)
        forgeries[f"{name} {first}"] = forger.sign(header.encode(), changed)
    forger.refuses(forgeries)


def test_only_our_typ_is_accepted(forger: Forger) -> None:
    """RFC 9068 also allows application/at+jwt; we sign at+jwt, so only that is accepted."""
    types = ("JWT", "jwt", "application/at+jwt", "AT+JWT", "at+jwt ", "JOSE", "JOSE+JSON", "", None, 1, ["at+jwt"], ...)
    forger.refuses({f"{typ!r}": forger.token({"typ": typ}) for typ in types})


def test_wrong_claims_are_refused(forger: Forger) -> None:
    now = int(datetime.now(UTC).timestamp())
    changes: list[dict[str, Any]] = [
        {"iss": EVIL}, {"iss": "https://api.test/"}, {"iss": ["https://api.test"]}, {"iss": None},
        {"aud": "others"}, {"aud": ["chally"]}, {"aud": ["chally", "others"]}, {"aud": "CHALLY"}, {"aud": None},
        {"exp": 1}, {"exp": now}, {"exp": -1}, {"exp": 0}, {"exp": str(now + 600)}, {"exp": now + 600.5},
        {"exp": float("inf")}, {"exp": float("nan")}, {"exp": 10**400}, {"exp": 2**63}, {"exp": now + 10**6},
        {"exp": True}, {"exp": None}, {"exp": [now + 600]},
        {"iat": now + 60}, {"iat": now + 10**9}, {"iat": str(now)}, {"iat": now + 0.5}, {"iat": None}, {"iat": False},
        {"nbf": now - 1}, {"nbf": now + 60}, {"nbf": str(now)}, {"nbf": None},
        {"sub": "me"}, {"sub": ""}, {"sub": 7}, {"sub": None}, {"sub": [forger.claims["sub"]]}, {"sub": "\ud800"},
        {"sub": str(uuid4())}, {"sid": "mine"}, {"sid": 7}, {"sid": None}, {"sid": str(uuid4())},
        {"csrf": 7}, {"csrf": ["a"]}, {"csrf": {}},
        {"role": "admin"}, {"scope": "admin"}, {"cnf": {"jwk": forger.jwk}}, {"act": {"sub": "me"}},
        *({name: ...} for name in ("iss", "aud", "sub", "sid", "iat", "exp", "jti")),
    ]  # fmt: skip
    forgeries = {f"{change!r:.60}": forger.token(**change) for change in changes}
    assert len(forgeries) == len(changes)
    forger.refuses(forgeries)
    for csrf in (7, ["a"], True):  # it is compared with text
        planted = Client(cookies={"__Host-access": forger.token(csrf=csrf), "__Host-csrf": "a"})
        assert planted.post("/v1/challenges", {}, X_CSRF_Token="a").status == 401


def test_a_token_has_one_spelling(forger: Forger) -> None:
    """With a second spelling, a token that is revoked or logged by its text would have a double."""
    token = forger.token()
    header, payload, signature = token.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(signature[-1])
    stray = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last ^ 1]
    assert base64.urlsafe_b64decode(signature[:-1] + stray + "==") == base64.urlsafe_b64decode(signature + "==")
    shifted = f"{header}.{payload[:9]}.{payload[9:]}.{signature}"
    forgeries = {
        "padded": f"{token}==",
        "padded header": f"{header}=.{payload}.{signature}",
        "stray bits": f"{header}.{payload}.{signature[:-1]}{stray}",
        "one character more": f"{token}A",
        "standard alphabet": f"{header}.{payload}.{base64.b64encode(b'\xff' * 256).decode()}",
        "space inside": f"{header}. {payload}.{signature}",
        "space in a part": f"{header}.{payload[:9]} {payload[9:]}.{signature}",
        "tab": f"{header}.\t{payload}.{signature}",
        "line end": f"{header}.{payload}.\n{signature}",
        "carriage return": f"{header}\r\n.{payload}.{signature}",
        "four parts": f"{token}.{signature}",
        "an empty fourth part": f"{token}.",
        "four parts, shifted": shifted,
        "five parts, as a JWE": f"{header}.{payload}.{signature}.{payload}.{signature}",
        "two parts": f"{header}.{payload}",
        "one part": header,
        "no header": f".{payload}.{signature}",
        "no payload": f"{header}..{signature}",
        "no signature": f"{header}.{payload}.",
        "nothing": "..",
        "two tokens": f"{token},{token}",
        "two credentials": f"{token}, Bearer {token}",
        "quoted": f'"{token}"',
        "percent": token.replace(".", "%2E"),
        "wide dots": token.replace(".", "\u3002"),
        "byte order mark": f"\ufeff{token}",
        "DEL": "\x7f.\x7f.\x7f",
    }
    forger.refuses(forgeries)


def test_lenient_json_is_refused(forger: Forger) -> None:
    """Payloads and headers that lenient parsers accept as JSON."""
    header, payload = json.dumps(forger.header).encode(), json.dumps(forger.claims).encode()
    forgeries = {
        "utf-16": forger.sign(header, payload.decode().encode("utf-16")),
        "header in utf-16": forger.sign(header.decode().encode("utf-16-le"), payload),
        "byte order mark": forger.sign(b"\xef\xbb\xbf" + header, payload),
        "after the end": forger.sign(header, payload + b"{}"),
        "NUL": forger.sign(header, payload + b"\0"),
        "a list": forger.sign(header, b"[" + payload + b"]"),
        "a header of lists": forger.sign(b"[]", payload),
        "null": forger.sign(header, b"null"),
        "empty": forger.sign(header, b""),
        "an empty object": forger.sign(header, b"{}"),
        "not UTF-8": forger.sign(header, b"\xff\xfe"),
        "deep header": f"{text(b'[' * 2_900)}.AA.AA",
        "deep payload": forger.sign(header, b"[" * 2_000),
        "many digits": forger.sign(header, payload[:-1] + b', "n": ' + b"9" * 2_000 + b"}"),
    }
    forger.refuses(forgeries)
    general = {"payload": text(payload), "signatures": [{"protected": text(header), "signature": "AA"}]}
    flattened = dict(zip(("protected", "payload", "signature"), forger.token().split("."), strict=True))
    forger.refuses({"general": json.dumps(general), "flattened": json.dumps(flattened)})


def test_nested_tokens_are_refused(forger: Forger) -> None:
    header = forger.header | {"cty": "JWT"}
    token = forger.token().encode()
    forger.refuses(
        {
            "with cty": forger.sign(json.dumps(header).encode(), token),
            "without": forger.sign(json.dumps(forger.header).encode(), token),
            "quoted": forger.sign(json.dumps(forger.header).encode(), json.dumps(token.decode()).encode()),
        }
    )


def test_oversized_tokens_are_refused(forger: Forger) -> None:
    forger.refuses(
        {
            "dots": "." * 1_000_000,
            "letters": "A" * 1_000_000,
            "parts": "A." * 500_000,
            "a long payload": forger.token(pad="A" * 5_000),
            "a long signature": forger.token() + "A" * 1_000_000,
        }
    )


def test_our_other_tokens_are_no_access_tokens(
    forger: Forger, nobody: Client, mails: Mails, database: Database
) -> None:
    """Each of our tokens has one purpose and no other."""
    login = {"login": "kari", "password": "long enough for us"}
    session = nobody.post("/v1/auth/login", login).json
    body = {"email": "new@people.test", "username": "newcomer", "password": "long enough", "timezone": "UTC"}
    assert nobody.post("/v1/auth/register", body).status == 202
    now = datetime.now(UTC)
    with db.as_system("tests") as tx:
        kari = users.account_by_username(tx, "kari")
        assert kari is not None
        for purpose in ("magic_link", "password_reset", "email_change", "unlock"):
            links.send(tx, purpose, email=kari.email, account=kari, now=now)
        mfa_token = tokens.random()
        second_factors.add_pending(tx, tokens.digest(mfa_token), kari.id, now + timedelta(minutes=5))
    mailed = {mail["template"]: mail["values"]["token"] for mail in mails()[-5:]}
    assert set(mailed) == {"verify_email", "magic_link", "password_reset", "email_change", "unlock"}
    others = mailed | {"mfa": mfa_token, "refresh": session["refresh_token"]}
    forger.refuses(others)
    for name, token in others.items() - {("refresh", session["refresh_token"])}:
        assert nobody.post("/v1/auth/refresh", {"refresh_token": token}).code == "refresh_invalid", name
    for name, token in others.items() - {("verify_email", mailed["verify_email"])}:
        assert nobody.post("/v1/auth/verify-email", {"token": token}).code == "token_invalid", name
    # longer than our opaque tokens, so it is not looked up
    assert nobody.post("/v1/auth/refresh", {"refresh_token": session["access_token"]}).status == 422
    assert nobody.post("/v1/auth/verify-email", {"token": session["access_token"]}).status == 422
    assert nobody.post("/v1/auth/refresh", {"refresh_token": session["refresh_token"]}).status == 200
