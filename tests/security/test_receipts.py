"""Receipts and access tokens are signed by keys that are published side by side: neither is accepted as the other."""

import hmac
import json
from collections.abc import Callable
from itertools import product
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from chally import access_tokens, clock, jws
from identity.receipt_key import ReceiptKey
from proofs import receipts
from proofs.receipts import InvalidReceipt
from tests.support import corpora
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.people import SignUp
from tests.support.token_forger import Forger, status, text


@pytest.fixture
def genuine(person: SignUp) -> str:
    """One of our receipts."""
    prover = person("prover")
    body = challenge_body(clock.now())
    body["rules"]["proof"] = {"kind": "text"}
    challenge = prover.post("/v1/challenges", body).json
    proof = prover.post(f"/v1/challenges/{challenge['id']}/proofs", {"value": "I ran"}).json["proof"]
    return prover.get(f"/v1/proofs/{proof['id']}/receipt").text


@pytest.fixture
def private(receipt_key: ReceiptKey) -> ec.EllipticCurvePrivateKey:
    loaded = load_pem_private_key(receipt_key.private_key.encode(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return loaded


def published() -> Any:
    return Client().get("/.well-known/jwks.json").json


def es256(header: dict[str, Any], payload: bytes, key: ec.EllipticCurvePrivateKey) -> str:
    """Sign with ES256, regardless of the header."""
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    body = f"{text(json.dumps(header).encode())}.{text(payload)}"
    return f"{body}.{text(algorithm.sign(body.encode(), key))}"


def refuses(forgeries: dict[str, str], genuine: str) -> None:
    """Assert that every forgery is refused and the genuine receipt is accepted."""
    keys = published()
    assert forgeries
    receipts.verify(genuine, keys)
    for name, forged in forgeries.items():
        with pytest.raises(InvalidReceipt):
            pytest.fail(f"{name}: {receipts.verify(forged, keys)}")


def test_the_receipt_key_cannot_sign_anybody_in(
    forger: Forger, receipt_key: ReceiptKey, private: ec.EllipticCurvePrivateKey
) -> None:
    payload = json.dumps(forger.claims).encode()
    spellings = ("RS256", "ES256", "es256", "Es256", "ES256K", "ES384", "rs256", "none", "HS256", "", None, ["ES256"])
    kids = (receipt_key.kid, forger.header["kid"])
    forgeries = {
        f"{alg!r} {kid} {typ}": es256({"alg": alg, "kid": kid, "typ": typ}, payload, private)
        for alg, kid, typ in product(spellings, kids, ("at+jwt", receipts.TYPE))
    }
    access_tokens.key_cache.clear()
    forger.refuses(forgeries)


def test_a_receipt_is_no_access_token(genuine: str) -> None:
    assert status(genuine) == 401


def test_an_access_token_is_no_receipt(genuine: str, forger: Forger) -> None:
    claims = jwt.decode(genuine, options={"verify_signature": False})
    body = json.dumps(claims).encode()
    refuses(
        {
            "as it is": forger.token(),
            "by its key, of our type": forger.token({"typ": receipts.TYPE}),
            "with a receipt's claims": forger.sign(json.dumps(forger.header | {"typ": receipts.TYPE}).encode(), body),
            "and its algorithm by name": forger.sign(
                json.dumps(forger.header | {"typ": receipts.TYPE, "alg": "ES256"}).encode(), body
            ),
        },
        genuine,
    )


def test_receipts_with_other_headers_are_refused(
    genuine: str, receipt_key: ReceiptKey, private: ec.EllipticCurvePrivateKey
) -> None:
    """Each is signed by our own key."""
    header = jwt.get_unverified_header(genuine)
    payload = jws.CompactJws.read(genuine, algorithm="ES256", max_length=10_000).payload
    evil = ec.generate_private_key(ec.SECP256R1())
    evil_jwk = jwt.algorithms.ECAlgorithm.to_jwk(evil.public_key(), as_dict=True)
    kids: list[Any] = ["", "receipt-", f"{receipt_key.kid} ", "../../dev/null", None, 0, [], ...]
    other: list[dict[str, Any]] = [
        *({"typ": typ} for typ in ("JWT", "at+jwt", "CHALLY-RECEIPT+JWT", "", None, [receipts.TYPE], ...)),
        *({"alg": alg} for alg in ("none", "None", "HS256", "RS256", "ES384", "es256", "", None, ["ES256"], ...)),
        *({"kid": kid} for kid in kids),
        *({name: evil_jwk} for name in ("jwk", "key", "jwks")),
        *({name: "https://evil.example/keys"} for name in ("jku", "x5u")),
        *({"crit": crit} for crit in (["exp"], [], None)),
        {"b64": False}, {"zip": "DEF"}, {"cty": "JWT"},
    ]  # fmt: skip
    forgeries = {}
    for change in other:
        members = {name: value for name, value in (header | change).items() if value is not ...}
        forgeries[str(change)] = es256(members, payload, private)
        forgeries[f"{change}, their key"] = es256(members, payload, evil)
    forgeries["another key"] = es256(header, payload, evil)
    first, _, last = genuine.split(".")
    for alg in ("none", "None", "NONE", "nOnE", ""):
        unsigned = f"{text(json.dumps(header | {'alg': alg}).encode())}.{text(payload)}"
        forgeries |= {
            f"{alg} empty": f"{unsigned}.",
            f"{alg} two parts": unsigned,
            f"{alg} signed": f"{unsigned}.{last}",
        }
    forgeries |= {"no payload": f"{first}..{last}", "five parts": f"{genuine}.a.b", "padded": genuine + "=="}
    refuses(forgeries, genuine)


def test_the_public_key_is_not_accepted_as_a_shared_secret(genuine: str, private: ec.EllipticCurvePrivateKey) -> None:
    header = jwt.get_unverified_header(genuine)
    payload = genuine.split(".")[1]
    public = private.public_key()
    info = PublicFormat.SubjectPublicKeyInfo
    secrets = [public.public_bytes(Encoding.PEM, info), public.public_bytes(Encoding.DER, info)]
    secrets += [public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)]
    secrets += [json.dumps(jwk).encode() for jwk in published()["keys"]]
    forgeries = {}
    for (number, secret), digest in product(enumerate(secrets), ("sha256", "sha384", "sha512")):
        for alg in (f"HS{digest[3:]}", "ES256"):
            body = f"{text(json.dumps(header | {'alg': alg}).encode())}.{payload}"
            forgeries[f"{alg} {digest} {number}"] = f"{body}.{text(hmac.new(secret, body.encode(), digest).digest())}"
    refuses(forgeries, genuine)


def test_signatures_that_fool_other_libraries_are_refused(genuine: str) -> None:
    """Zeros (CVE-2022-21449), the group's order, DER, and other lengths."""
    body = genuine.rpartition(".")[0]
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    numbers = (0, 1, order - 1, order, order + 1, 2**256 - 1)
    forgeries = {
        f"{r:x} {s:x}": f"{body}.{text(r.to_bytes(32) + s.to_bytes(32))}" for r, s in product(numbers, numbers)
    }
    real = jws.CompactJws.read(genuine, algorithm="ES256", max_length=10_000)._signature
    for length in (0, 1, 31, 32, 63, 65, 96):
        forgeries[f"{length} bytes"] = f"{body}.{text((real + real)[:length])}"
    forgeries["DER"] = f"{body}.{text(jwt.utils.raw_to_der_signature(real, ec.SECP256R1()))}"
    refuses(forgeries, genuine)


def test_keys_for_other_purposes_verify_no_receipt(
    genuine: str, receipt_key: ReceiptKey, forger: Forger, private: ec.EllipticCurvePrivateKey
) -> None:
    """The right key marked for another purpose, or another key with its id."""
    right = receipt_key.public_jwk()
    evil = jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    wrong: list[dict[str, Any]] = [
        *(right | change for change in ({"use": "enc"}, {"alg": "ES384"}, {"alg": None}, {"crv": "P-384"})),
        right | {"x": evil["x"], "y": evil["y"]},
        forger.jwk | {"kid": receipt_key.kid},
        {"kty": "oct", "k": "AAAA", "kid": receipt_key.kid, "alg": "ES256", "use": "sig"},
        {name: value for name, value in right.items() if name != "use"},
    ]  # fmt: skip
    for jwk in wrong:
        with pytest.raises(InvalidReceipt):
            pytest.fail(f"{jwk}: {receipts.verify(genuine, {'keys': [jwk]})}")
    receipts.verify(genuine, {"keys": [*wrong, right]})
    with pytest.raises(InvalidReceipt, match="is malformed"):
        receipts.verify(genuine, {"keys": [right | {"x": right["y"]}]})  # not a point on the curve


def test_a_signed_payload_must_have_the_form_of_a_receipt(genuine: str, receipt_key: ReceiptKey) -> None:
    claims = jwt.decode(genuine, options={"verify_signature": False})
    payloads = [b"", b"null", b"[]", b"{}", b'"x"', b"\xff", b"[" * 8000]
    payloads += [json.dumps({**claims, "iat": iat}).encode() for iat in ("x", -1, 10**30, None)]
    payloads += [json.dumps({**claims, "sub": "x"}).encode(), json.dumps({**claims, "proof": {}}).encode()]
    twice = json.dumps(claims).replace('"status": "accepted"', '"status": "rejected", "status": "accepted"')
    payloads += [twice.encode()]
    refuses({str(p[:80]): receipt_key.sign(p, typ=receipts.TYPE) for p in payloads}, genuine)


def test_no_vector_of_project_wycheproof_is_accepted_as_a_receipt() -> None:
    """ES256: no invalid vector passes, whatever its key's id. None of theirs has the type of a receipt, so the
    signatures are looked at beneath that.
    """
    found = corpora.files("jose/json_web_signature_test.json")
    if not found:
        pytest.skip(f"no JOSE vectors in {corpora.ROOT}: set CHALLY_CORPORA to a folder that has them")
    accepted, tried = set(), 0
    for group in json.loads(found[0].read_text())["testGroups"]:
        jwk = group.get("public") or group["private"]
        keys = receipts._keys({"keys": [jwk]})
        for vector in group["tests"]:
            tried += 1
            with pytest.raises(InvalidReceipt):
                receipts.verify(vector["jws"], {"keys": [jwk]})
            try:
                signed = jws.CompactJws.read(vector["jws"], algorithm="ES256", max_length=10_000)
            except jws.MalformedJws:
                continue
            if any(signed.is_signed_by(key) for key in keys):
                accepted.add(vector["tcId"])
    assert tried == 401
    assert accepted == {18, 378}  # the valid ES256 vectors


def test_the_private_key_is_never_published_or_logged(
    receipt_key: ReceiptKey, logs: Callable[[], str], genuine: str
) -> None:
    """Neither published keys, responses nor logs contain any part of it."""
    secret = receipt_key.private_key.split("\n")[1]
    assert secret not in logs() + genuine + json.dumps(published()) + repr(receipt_key)


def test_an_rsa_key_cannot_be_a_receipt_key() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    assert receipts._keys({"keys": [jwk | {"alg": "ES256", "use": "sig", "kid": "receipt-1"}]}) == []
