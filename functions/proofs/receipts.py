"""Receipts: what became of a proof, signed, so that anybody can check it with our published keys, now or in years.

    python -m proofs.receipts verify FILE [--jwks FILE_OR_URL]

A receipt is a compact JWS (ES256) that says what the verdict is when it is asked for; a later one may say otherwise. It
names nobody, and holds nothing of what was sent but its SHA-256: of a photo's bytes; of a text in UTF-8; of a number in
decimal digits without exponent, sign of a zero, or zeros at the end (`12`, `12.5`, `0.000001`). Whoever guesses a value
can check the guess by that, as few numbers are not quickly guessed.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, build_opener
from uuid import UUID

import jwt
from pydantic import BaseModel, Field, ValidationError

from chally import jws
from identity.receipt_key import ALGORITHM
from proofs import rules

if TYPE_CHECKING:
    from proofs.queries.receipts import Known

TYPE = "chally-receipt+jwt"
MEDIA_TYPE = "application/jose"  # RFC 7515, 9.2.1
JWKS = "/.well-known/jwks.json"
MAX_LENGTH = 16_384  # characters; ours have about a thousand
MAX_KEY_SET = 1_000_000  # bytes
LAST_SECOND = 253_402_300_800  # of the year 9999
HERE = ("localhost", "127.0.0.1", "::1")


class Invalid(Exception):
    """It is no receipt of ours; the message says why, in sentences for a person."""


class Review(BaseModel):
    decision: str
    reviewed_at: datetime


class Proved(BaseModel):
    """The proof: which window it was for, what it was, when it reached storage, the verdict with its reasons' codes.

    What a later release may name otherwise is text here, so that this one verifies its receipts too.
    """

    challenge_id: UUID
    participant_id: UUID
    kind: str
    local_date: date
    opens_at: datetime
    closes_at: datetime
    timezone: str | None
    tzdata: str | None
    sha256: str | None
    stored_at: datetime | None
    decided_at: datetime | None
    status: str
    reasons: list[str]
    review: Review | None


class Receipt(BaseModel):
    """Claims (RFC 7519): who issued it, when (seconds since the epoch), about which proof."""

    iss: str
    iat: Annotated[int, Field(ge=0, lt=LAST_SECOND)]
    sub: UUID
    proof: Proved

    @classmethod
    def of(cls, known: "Known", *, issuer: str, now: datetime) -> Self:
        """What a receipt says now. Raises `NotDecided` where there is no verdict yet."""
        rules.check_decided(known.status, known.created_at, now)
        taken = {name: getattr(known, name) for name in Proved.model_fields if hasattr(known, name)}
        review = None
        if known.review and known.reviewed_at:
            review = {"decision": known.review, "reviewed_at": _utc(known.reviewed_at)}
        return cls(
            iss=issuer,
            iat=int(now.timestamp()),
            sub=known.id,
            proof=Proved.model_validate(
                {name: _utc(value) if isinstance(value, datetime) else value for name, value in taken.items()}
                | {
                    "sha256": digest(known.value) if known.sha256 is None else known.sha256.hex(),
                    # their sentences are for the participant, and quote what they sent
                    "reasons": [reason["code"] for reason in known.reasons],
                    "review": review,
                }
            ),
        )

    def payload(self) -> bytes:
        """As it is signed; times are RFC 3339, in UTC."""
        return self.model_dump_json().encode()


def digest(value: str | float | None) -> str | None:
    """The SHA-256 of a text or a number, in hexadecimal digits."""
    if value is None:
        return None
    text = value if isinstance(value, str) else f"{Decimal(repr(float(value) + 0.0)).normalize():f}"
    return hashlib.sha256(text.encode()).hexdigest()


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC)


def read(text: str) -> jws.CompactJws:
    """A receipt whose signature is yet to be checked: until then it says nothing but its `kid`. Raises `Invalid`."""
    try:
        signed = jws.CompactJws.read(text, algorithm=ALGORITHM, max_length=MAX_LENGTH)
    except jws.MalformedJws as error:
        raise Invalid(f"This is no receipt, or not all of one. {error}") from None
    if signed.typ != TYPE:
        raise Invalid(f"This is signed, but no receipt: its type is {signed.typ!r:.40}, not {TYPE!r}.")
    return signed


def verify(text: str, key_set: object) -> Receipt:
    """What a receipt says, if one of a JSON Web Key Set's keys for receipts (RFC 7517) signed it. Raises `Invalid`."""
    signed = read(text)
    keys = [key for key in _keys(key_set) if key.key_id == signed.kid]
    if not keys:
        raise Invalid(
            f"These keys lack the one that it names, {signed.kid!r:.40}. Is it of somebody else, or are they old?"
        )
    if not any(signed.is_signed_by(key) for key in keys):
        raise Invalid("The signature is wrong: the receipt was changed after it was signed, or was never ours.")
    return _claims(signed)


def _claims(signed: jws.CompactJws) -> Receipt:
    try:
        jws.members(signed.payload)  # no member twice
        return Receipt.model_validate_json(signed.payload)
    except (jws.MalformedJws, ValidationError):
        raise Invalid("What is signed has not the form of a receipt.") from None


def _keys(key_set: object) -> list[jwt.PyJWK]:
    """Those that are for receipts, and for nothing else (RFC 8725, 3.1)."""
    wanted = {"kty": "EC", "crv": "P-256", "alg": ALGORITHM, "use": "sig"}
    if not isinstance(key_set, dict) or not isinstance(key_set.get("keys"), list):
        raise Invalid("The keys are no JSON Web Key Set.")
    try:
        return [
            jwt.PyJWK({name: jwk[name] for name in ("kty", "crv", "x", "y", "kid")}, ALGORITHM)
            for jwk in key_set["keys"]
            if isinstance(jwk, dict) and wanted.items() <= jwk.items()
        ]
    except (jwt.PyJWTError, KeyError, ValueError, TypeError):
        raise Invalid("The keys are no JSON Web Key Set: one of them is broken.") from None


def _fetch(url: str) -> bytes:
    """By HTTPS, or from this machine; nobody else on the way may choose the keys. Raises `Invalid`."""

    class Nowhere(HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            return None

    try:
        place = urlsplit(url)
        if place.scheme != "https" and not (place.scheme == "http" and place.hostname in HERE):
            raise Invalid(f"Keys are fetched by HTTPS only, not from {url!r:.200}.")
        with build_opener(Nowhere).open(url, timeout=10) as answer:
            body: bytes = answer.read(MAX_KEY_SET)
    except (URLError, OSError, HTTPException, ValueError) as error:
        raise Invalid(f"The keys could not be fetched from {url!r:.200}: {error}") from None
    return body


def _key_set(place: str) -> Any:
    """The keys in a file, or at a URL. Raises `Invalid`."""
    try:
        return json.loads(_fetch(place) if "://" in place else Path(place).read_bytes())
    except OSError as error:
        raise Invalid(f"The keys cannot be read: {error}") from None
    except (ValueError, RecursionError):
        raise Invalid(f"What is at {place!r:.200} is no JSON Web Key Set: it is not JSON.") from None


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LENGTH + 100)
    except OSError as error:
        raise Invalid(f"The receipt cannot be read: {error}") from None
    return data.decode("ascii", "replace").strip()


def _words(receipt: Receipt, keys: str) -> list[str]:
    """What a receipt says, in plain words, a line each."""
    proof = receipt.proof
    zone = f"{proof.timezone or 'zone not recorded'}, tzdata {proof.tzdata or 'not recorded'}"
    reasons = f" ({', '.join(proof.reasons)})" if proof.reasons else ""
    review = proof.review
    lines = [
        f"This receipt is genuine, by the keys of {keys}.",
        f"  issuer       {receipt.iss}, on {_text(datetime.fromtimestamp(receipt.iat, UTC))}",
        f"  proof        {receipt.sub}, a {proof.kind}",
        f"  challenge    {proof.challenge_id}",
        f"  participant  {proof.participant_id}",
        f"  window       {proof.local_date}, from {_text(proof.opens_at)} to {_text(proof.closes_at)} ({zone})",
        f"  sha256       {proof.sha256 or 'not known any more'}",
        f"  stored       {_text(proof.stored_at)}",
        f"  verdict      {proof.status}{reasons}, on {_text(proof.decided_at)}",
    ]
    if review:
        lines.append(f"  review       a person decided to {review.decision} it, on {_text(review.reviewed_at)}")
    return lines


def _text(instant: datetime | None) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if instant else "an unknown time"


def main(arguments: Sequence[str] | None = None) -> int:
    """`verify FILE`: prints what a receipt says and answers 0, or why it is none and answers 1."""
    parser = argparse.ArgumentParser(prog="python -m proofs.receipts", description="Check receipts of proofs.")
    verb = parser.add_subparsers(required=True, metavar="command").add_parser("verify", help="check one")
    verb.add_argument("file", type=Path, metavar="FILE", help="the receipt, as the API answered it")
    verb.add_argument(
        "--jwks",
        metavar="FILE_OR_URL",
        help=f"the keys; otherwise they are fetched from the API that the receipt names ({JWKS}): see that you know it",
    )
    asked = parser.parse_args(arguments)
    try:
        text = _file(asked.file)
        # whoever it names: what its keys verify is theirs, and the first lines say who that is
        keys = asked.jwks or _claims(read(text)).iss.rstrip("/") + JWKS
        lines, status, to = _words(verify(text, _key_set(keys)), keys), 0, sys.stdout
    except Invalid as error:
        lines, status, to = [str(error)], 1, sys.stderr
    for line in lines:  # of a stranger's making: nothing that would move about in a terminal
        print("".join(each if each.isprintable() else "?" for each in line), file=to)
    return status


if __name__ == "__main__":
    sys.exit(main())
