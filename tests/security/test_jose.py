"""Signatures that are not ours: the vectors of Project Wycheproof, and the classic attacks on JWS, as real requests.

We are stricter than RFC 7515 on purpose: one algorithm, one type, a published `kid`, no other header parameter, compact
serialisation, one spelling per token, no repeated member. Our one issuer writes nothing else. Claims and spellings are
tested in test_access_tokens.py.
"""

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chally import access_tokens, db
from chally.jws import CompactJws, MalformedJws
from identity.keyring import SigningKey
from identity.queries import keys
from tests.support import corpora
from tests.support.database import Database
from tests.support.token_forger import Forger, private, status, text

EVIL = "https://evil.example/keys"


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
        """Make a vector's key our only known key."""

        def swap(jwk: dict[str, Any]) -> None:
            database.execute("delete from core.signing_keys")
            with db.as_system("tests") as tx:
                keys.publish_key(tx, jwk["kid"], jwk)
            access_tokens.key_cache.clear()

        return swap

    def test_only_valid_rs256_vectors_verify(
        self, groups: list[dict[str, Any]], publish: Callable[[dict[str, Any]], None]
    ) -> None:
        """No invalid vector is accepted; all valid RS256 ones are; other algorithms are refused by name."""
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
        assert accepted == {
            33,
            259,
            260,
            261,
            262,
            263,
            345,
            349,
        }  # all valid RS256 vectors, including the empty payload
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
            # HS256 too, with a question mark in its header: RFC 7515, 2 forbids it, but some parsers skip it
            "form": 1,
        }
        assert sum(refused["invalid"].values()) == 401 - len(valid)
        # These reached a key, and failed by their signature alone.
        assert refused["invalid"]["signature"] >= 215
        # Keys for encryption or for another algorithm verify no RS256 signature.
        assert refused["invalid"]["key"] >= 4

    def reason(self, jws: str) -> str | None:
        """Why `authenticate` stops at the signature; None if it goes on."""
        try:
            signed = CompactJws.read(jws, algorithm="RS256", max_length=access_tokens.MAX_TOKEN_LENGTH)
        except MalformedJws:
            try:
                part = jws.split(".")[0]
                algorithm = json.loads(base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True))["alg"]
                return "form" if algorithm == "RS256" else f"algorithm {algorithm}"
            except (ValueError, KeyError):
                return "form"
        key = access_tokens.key_cache.find(signed.kid)
        if key is None:
            return "key"
        return None if signed.is_signed_by(key) else "signature"

    def test_no_vector_signs_anybody_in(
        self, groups: list[dict[str, Any]], publish: Callable[[dict[str, Any]], None]
    ) -> None:
        """Even with their keys published as ours."""
        answers: Counter[int] = Counter()
        for group in groups:
            publish(group.get("public") or group["private"])
            answers.update(status(vector["jws"]) for vector in group["tests"])
        assert answers == {401: 401}


def cases(word: str) -> Iterator[str]:
    return map("".join, product(*({letter.lower(), letter.upper()} for letter in word)))


def test_unsigned_tokens_are_refused(forger: Forger) -> None:
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


def test_the_public_key_is_not_accepted_as_a_shared_secret(forger: Forger) -> None:
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
    # also named RS256, in case only the key decides
    body = forger.token().rpartition(".")[0]
    for name, secret in secrets.items():
        forgeries[f"RS256 {name}"] = f"{body}.{text(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"
    forger.refuses(forgeries)


def test_other_algorithms_are_refused(forger: Forger) -> None:
    """Signed by our own key, with the header naming the algorithm or not."""
    forgeries = {name: forger.token({"alg": name}) for name in ("RS384", "RS512", "PS256", "ES256", "EdDSA", "rs256")}
    for name in ("RS384", "RS512", "PS256", "PS384", "PS512"):
        headers = {"kid": forger.header["kid"], "typ": "at+jwt"}
        forgeries[f"truly {name}"] = jwt.encode(forger.claims, forger.key, name, headers=headers)
    forger.refuses(forgeries)


def test_other_keys_are_refused(forger: Forger, database: Database) -> None:
    evil = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forgeries = {"another key": forger.token(key=evil), "another kid": forger.token({"kid": "a" * 16})}
    old = SigningKey.make(datetime.now(UTC))  # withdrawn
    with db.as_system("tests") as tx:
        keys.publish_key(tx, old.kid, old.public_jwk())
    database.execute("update core.signing_keys set verifies_until = now() where kid = %(kid)s", kid=old.kid)
    access_tokens.key_cache.clear()
    forgeries["an old key"] = forger.token({"kid": old.kid}, private(old))
    for change in ({"use": "enc"}, {"key_ops": ["encrypt"]}, {"alg": "PS256"}, {"alg": None}, {"kty": "EC"}):
        (kid,) = map(str, change.items())
        with db.as_system("tests") as tx:
            keys.publish_key(tx, kid, forger.jwk | change)
        forgeries[f"a key that is not for this: {kid}"] = forger.token({"kid": kid})
    access_tokens.key_cache.clear()
    forger.refuses(forgeries)


def test_unknown_and_hostile_key_ids_are_refused(forger: Forger) -> None:
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
    """Signed by a key that the token brings, or by ours with a parameter too many."""
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


def test_critical_extensions_are_refused(forger: Forger) -> None:
    """RFC 7515, 4.1.11: we support no extension, so no parameter may be critical, not even a known one."""
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
