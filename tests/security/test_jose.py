"""Tokens that are not ours: the vectors of Project Wycheproof, and the classic attacks on JWTs, as real requests.

Where we are stricter than RFC 7515 and 7519, on purpose: one algorithm, one type, a `kid` that we published, no header
parameter beside these three, the compact serialisation, one spelling for each token, no member twice, and exactly the
claims that we sign. There is one issuer, and it writes nothing else.
"""

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from chally import actor, db
from chally.actor import Signed
from chally.errors import Unauthenticated
from identity import links, tokens
from identity.keyring import Keyring, SigningKey
from identity.queries import keys, second_factors, users
from tests import corpora
from tests.api import Client
from tests.conftest import Database, Join

Mails = Callable[[], list[dict[str, Any]]]
EVIL = "https://evil.example/keys"


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def private(key: SigningKey) -> rsa.RSAPrivateKey:
    loaded = load_pem_private_key(key.private_key.encode(), None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    return loaded


def status(token: str) -> int:
    return Client(headers={"authorization": f"Bearer {token}"}).get("/v1/me").status


class TestVectors:
    @pytest.fixture
    def groups(self) -> list[dict[str, Any]]:
        found = corpora.files("jose/json_web_signature_test.json")
        if not found:
            pytest.skip(f"no JOSE vectors in {corpora.ROOT}: set CHALLY_CORPORA to a folder that has them")
        corpus = json.loads(found[0].read_text())
        assert sum(len(group["tests"]) for group in corpus["testGroups"]) == corpus["numberOfTests"] == 401
        return list(corpus["testGroups"])

    @pytest.fixture
    def publish(self, cloud: None, database: Database) -> Callable[[dict[str, Any]], None]:
        """Makes a vector's key the one key that we know."""

        def swap(jwk: dict[str, Any]) -> None:
            database.execute("delete from core.signing_keys")
            with db.as_system("tests") as tx:
                keys.publish_key(tx, jwk["kid"], jwk)
            actor.keys.forget()

        return swap

    def test_our_verification_of_their_keys(
        self, groups: list[dict[str, Any]], publish: Callable[[dict[str, Any]], None]
    ) -> None:
        """No invalid vector is accepted, and every valid one by RS256 is; other algorithms are refused as such."""
        accepted: set[int] = set()
        refused: dict[str, Counter[str]] = {"valid": Counter(), "invalid": Counter()}
        for group in groups:
            publish(group.get("public") or group["private"])
            for vector in group["tests"]:
                reason = self.reason(vector["jws"])
                if reason is None:
                    accepted.add(vector["tcId"])
                else:
                    refused[vector["result"]][reason] += 1
        valid = {v["tcId"] for g in groups for v in g["tests"] if v["result"] == "valid"}
        assert accepted == {33, 259, 260, 261, 262, 263, 345, 349}  # all of RS256, the empty payload too
        assert accepted <= valid
        assert refused["valid"] == {
            "algorithm HS256": 9,
            "algorithm RS384": 4,
            "algorithm RS512": 4,
            "algorithm PS256": 6,
            "algorithm PS384": 6,
            "algorithm PS512": 4,
            "algorithm ES256": 2,
            "algorithm ES512": 2,
            # HS256 too, with a question mark in its header: RFC 7515, 2 knows no such character, some readers skip it
            "form": 1,
        }
        assert sum(refused["invalid"].values()) == 401 - len(valid)
        # What reached a key, and was told from its signatures by the signature alone.
        assert refused["invalid"]["signature"] >= 215
        # Keys for encryption, or bound to another algorithm, verify nothing of RS256.
        assert refused["invalid"]["key"] >= 4

    def reason(self, jws: str) -> str | None:
        """Why `authenticate` goes no further than the signature; None where it does."""
        try:
            signed = Signed.read(jws)
        except Unauthenticated:
            try:
                part = jws.split(".")[0]
                algorithm = json.loads(base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True))["alg"]
                return "form" if algorithm == "RS256" else f"algorithm {algorithm}"
            except (ValueError, KeyError):
                return "form"
        key = actor.keys.find(signed.kid)
        if key is None:
            return "key"
        return None if signed.is_signed_by(key) else "signature"

    def test_as_bearer_tokens(self, groups: list[dict[str, Any]], publish: Callable[[dict[str, Any]], None]) -> None:
        """Their keys are published, as if they were ours: even so, none of them signs anybody in."""
        answers: Counter[int] = Counter()
        for group in groups:
            publish(group.get("public") or group["private"])
            answers.update(status(vector["jws"]) for vector in group["tests"])
        assert answers == {401: 401}


class Forger:
    """Holds our private key and a real person's claims: what it makes differs from the genuine in one thing only."""

    def __init__(self, claims: dict[str, Any], key: SigningKey) -> None:
        self.claims = claims
        self.header = {"alg": "RS256", "kid": key.kid, "typ": "at+jwt"}
        self.key = private(key)
        self.jwk = key.public_jwk()

    def sign(self, header: bytes, payload: bytes, key: rsa.RSAPrivateKey | None = None) -> str:
        """Signed by RS256, whatever the header says."""
        algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
        body = f"{text(header)}.{text(payload)}"
        return f"{body}.{text(algorithm.sign(body.encode(), key or self.key))}"

    def token(self, header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
        """With another header or claims; `...` takes a member out."""
        members = {name: value for name, value in (self.header | (header or {})).items() if value is not ...}
        body = {name: value for name, value in (self.claims | claims).items() if value is not ...}
        return self.sign(json.dumps(members).encode(), json.dumps(body).encode(), key)

    def refuses(self, forgeries: dict[str, str]) -> None:
        """All of them, each told by its name; and nothing but the forgery was wrong."""
        assert forgeries
        assert status(self.token()) == 200
        assert {name: status(token) for name, token in forgeries.items()} == dict.fromkeys(forgeries, 401)


@pytest.fixture
def forger(person: Join, keyring: Keyring) -> Forger:
    claims = jwt.decode(str(person("kari").token), options={"verify_signature": False})
    return Forger(claims, keyring.keys[0])


def cases(word: str) -> Iterator[str]:
    return map("".join, product(*({letter.lower(), letter.upper()} for letter in word)))


def test_unsigned(forger: Forger) -> None:
    payload = json.dumps(forger.claims).encode()
    real = forger.token().rpartition(".")[2]
    forgeries = {}
    for algorithm in (*cases("none"), "", " none", "none ", "n\u043ene", None, False, 0, ["none"]):
        header = text(json.dumps(forger.header | {"alg": algorithm}).encode())
        for kind, signature in (("", ""), ("signed", real), ("a byte", "AA")):
            forgeries[f"{algorithm!r} {kind}"] = f"{header}.{text(payload)}.{signature}"
    header = text(json.dumps({k: v for k, v in forger.header.items() if k != "alg"}).encode())
    forgeries["no alg"] = f"{header}.{text(payload)}.{real}"
    assert len(forgeries) == 73
    forger.refuses(forgeries)


def test_the_public_key_is_no_shared_secret(forger: Forger) -> None:
    public = forger.key.public_key()
    secrets = {"n": forger.jwk["n"].encode(), "n as bytes": base64.urlsafe_b64decode(forger.jwk["n"] + "==")}
    for name, form in (("PKCS1", PublicFormat.PKCS1), ("SPKI", PublicFormat.SubjectPublicKeyInfo)):
        pem = public.public_bytes(Encoding.PEM, form)
        secrets |= {f"{name} PEM": pem, f"{name} PEM, bare": pem.rstrip(b"\n")}
        secrets[f"{name} DER"] = public.public_bytes(Encoding.DER, form)
    minimal = {name: forger.jwk[name] for name in ("e", "kty", "n")}
    for jwk in (forger.jwk, minimal):
        secrets[f"JWK {len(jwk)}"] = json.dumps(jwk).encode()
        secrets[f"JWK {len(jwk)}, compact"] = json.dumps(jwk, separators=(",", ":")).encode()
        secrets[f"JWK {len(jwk)}, sorted"] = json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()
    forgeries = {}
    for (name, secret), digest in product(secrets.items(), ("sha256", "sha384", "sha512")):
        header = forger.header | {"alg": f"HS{digest[3:]}"}
        body = f"{text(json.dumps(header).encode())}.{text(json.dumps(forger.claims).encode())}"
        forgeries[f"{digest} {name}"] = f"{body}.{text(hmac.new(secret, body.encode(), digest).digest())}"
    # and as RS256 by name, in case only the key decides
    body = forger.token().rpartition(".")[0]
    for name, secret in secrets.items():
        forgeries[f"RS256 {name}"] = f"{body}.{text(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"
    forger.refuses(forgeries)


def test_other_algorithms(forger: Forger) -> None:
    """Signed by our own key, by what the header says or not."""
    forgeries = {name: forger.token({"alg": name}) for name in ("RS384", "RS512", "PS256", "ES256", "EdDSA", "rs256")}
    for name in ("RS384", "RS512", "PS256", "PS384", "PS512"):
        headers = {"kid": forger.header["kid"], "typ": "at+jwt"}
        forgeries[f"truly {name}"] = jwt.encode(forger.claims, forger.key, name, headers=headers)
    forger.refuses(forgeries)


def test_other_keys(forger: Forger, database: Database) -> None:
    evil = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forgeries = {"another key": forger.token(key=evil), "another kid": forger.token({"kid": "a" * 16})}
    old = SigningKey.make(datetime.now(UTC))  # withdrawn
    with db.as_system("tests") as tx:
        keys.publish_key(tx, old.kid, old.public_jwk())
    database.execute("update core.signing_keys set verifies_until = now() where kid = %(kid)s", kid=old.kid)
    actor.keys.forget()
    forgeries["an old key"] = forger.token({"kid": old.kid}, private(old))
    for change in ({"use": "enc"}, {"key_ops": ["encrypt"]}, {"alg": "PS256"}, {"alg": None}, {"kty": "EC"}):
        (kid,) = map(str, change.items())
        with db.as_system("tests") as tx:
            keys.publish_key(tx, kid, forger.jwk | change)
        forgeries[f"a key that is not for this: {kid}"] = forger.token({"kid": kid})
    actor.keys.forget()
    forger.refuses(forgeries)


def test_kid(forger: Forger) -> None:
    kid = forger.header["kid"]
    evil = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kids: list[Any] = [
        "../../../../../../dev/null", "/dev/null", "file:///dev/null", "..\\..\\win.ini", "%2e%2e%2fdev%2fnull",
        "' or 1=1 --", "x' union select 'a' --", "'; drop table core.signing_keys; --", f"{kid}' --", "$(id)",
        "", " ", f"{kid} ", f" {kid}", f"{kid}\0", f"{kid}\n", kid.upper() + "X", "\ud800", "a" * 2_000, f"{kid}{kid}",
        EVIL, None, True, 0, 7, -1, 1e400, [kid], [], {"kid": kid}, {}, ...,
    ]  # fmt: skip
    forgeries = {}
    for value in kids:
        forgeries[f"{value!r:.40}"] = forger.token({"kid": value})
        forgeries[f"{value!r:.40}, their key"] = forger.token({"kid": value}, evil)
    assert len(forgeries) == 2 * len(kids)
    forger.refuses(forgeries)


def test_nothing_in_a_token_chooses_its_key(forger: Forger) -> None:
    """Signed by their key, which the token brings; and by ours, with a parameter too many."""
    evil = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    algorithm = jwt.algorithms.RSAAlgorithm
    jwk = algorithm.to_jwk(evil.public_key(), as_dict=True)
    certificate = base64.b64encode(evil.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)).decode()
    parameters: dict[str, Any] = {
        "jku": EVIL,
        "x5u": EVIL,
        "x5c": [certificate],
        "x5t": text(hashlib.sha1(b"").digest()),
        "x5t#S256": text(hashlib.sha256(b"").digest()),
        "jwk": jwk,
        "key": jwk,
        "jwks": {"keys": [jwk]},
        "iss": EVIL,
        "zip": "DEF",
        "cty": "at+jwt",
    }
    forgeries = {}
    for name, value in parameters.items():
        forgeries[f"{name}, their key"] = forger.token({name: value}, evil)
        forgeries[f"{name}, their key and kid"] = forger.token({name: value, "kid": "evil"}, evil)
        forgeries[f"{name}, our key"] = forger.token({name: value})
    forgeries["our own jwk"] = forger.token({"jwk": forger.jwk})
    forgeries["our own jku"] = forger.token({"jku": "https://api.test/.well-known/jwks.json"})
    forger.refuses(forgeries)


def test_crit(forger: Forger) -> None:
    """RFC 7515, 4.1.11; we understand no extension, so nothing may be critical, not even what is known."""
    forgeries = {
        "unknown": forger.token({"crit": ["http://example.invalid/UNDEFINED"], "http://example.invalid/UNDEFINED": 1}),
        "known": forger.token({"crit": ["exp"], "exp": forger.claims["exp"]}),
        "absent": forger.token({"crit": ["exp"]}),
        "b64": forger.token({"crit": ["b64"], "b64": True}),
        "b64 off": forger.token({"crit": ["b64"], "b64": False}),
        "b64 alone": forger.token({"b64": False}),
        "a parameter of ours": forger.token({"crit": ["kid"]}),
        "empty": forger.token({"crit": []}),
        "null": forger.token({"crit": None}),
        "text": forger.token({"crit": "exp"}),
    }
    forger.refuses(forgeries)


def test_members_that_come_twice(forger: Forger) -> None:
    """Two readers may take one each; whoever signs them is no issuer of ours."""
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


def test_typ(forger: Forger) -> None:
    """RFC 9068 names application/at+jwt too; we sign one of both, so that is the one we take."""
    types = ("JWT", "jwt", "application/at+jwt", "AT+JWT", "at+jwt ", "JOSE", "JOSE+JSON", "", None, 1, ["at+jwt"], ...)
    forger.refuses({f"{typ!r}": forger.token({"typ": typ}) for typ in types})


def test_claims(forger: Forger) -> None:
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
    for csrf in (7, ["a"], True):  # what is compared with it is text
        planted = Client(cookies={"__Host-access": forger.token(csrf=csrf), "__Host-csrf": "a"})
        assert planted.post("/v1/challenges", {}, X_CSRF_Token="a").status == 401


def test_spelling(forger: Forger) -> None:
    """A token has one spelling; with a second one, what is revoked or logged by its text would have a double."""
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


def test_json(forger: Forger) -> None:
    """Payload and header in forms that lenient readers take for JSON."""
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


def test_nested(forger: Forger) -> None:
    header = forger.header | {"cty": "JWT"}
    token = forger.token().encode()
    forger.refuses(
        {
            "with cty": forger.sign(json.dumps(header).encode(), token),
            "without": forger.sign(json.dumps(forger.header).encode(), token),
            "quoted": forger.sign(json.dumps(forger.header).encode(), json.dumps(token.decode()).encode()),
        }
    )


def test_size(forger: Forger) -> None:
    forger.refuses(
        {
            "dots": "." * 1_000_000,
            "letters": "A" * 1_000_000,
            "parts": "A." * 500_000,
            "a long payload": forger.token(pad="A" * 5_000),
            "a long signature": forger.token() + "A" * 1_000_000,
        }
    )


def test_other_tokens_of_ours(forger: Forger, nobody: Client, mails: Mails, database: Database) -> None:
    """Each is good for one thing, and for nothing else."""
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
    # longer than any opaque token of ours, so it is not even looked up
    assert nobody.post("/v1/auth/refresh", {"refresh_token": session["access_token"]}).status == 422
    assert nobody.post("/v1/auth/verify-email", {"token": session["access_token"]}).status == 422
    assert nobody.post("/v1/auth/refresh", {"refresh_token": session["refresh_token"]}).status == 200
