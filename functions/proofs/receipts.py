"""Receipts: signed statements of the verdict on a proof, which anyone can verify with our published keys for years.

    python -m proofs.receipts verify FILE [--jwks FILE_OR_URL]

A receipt is a compact JWS (ES256) that states the verdict at the time of issue; a later receipt can differ. It contains
no names, and of the content only its SHA-256: of a photo's bytes; of a text in UTF-8; of a number in decimal digits
without exponent, sign of zero, or trailing zeros (`12`, `12.5`, `0.000001`). The hash does not hide a number: anyone
can try all likely ones.
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
from proofs.rules.status import check_decided

if TYPE_CHECKING:
    from proofs.queries.receipts import ReceiptRow

TYPE = "chally-receipt+jwt"
MEDIA_TYPE = "application/jose"  # RFC 7515, 9.2.1
JWKS = "/.well-known/jwks.json"
MAX_LENGTH = 16_384  # characters; receipts have about a thousand
MAX_KEY_SET = 1_000_000  # bytes
LAST_SECOND = 253_402_300_800  # the end of the year 9999
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


class InvalidReceipt(Exception):
    """The receipt is not valid. The message says why, in sentences for a person."""


class ReceiptReview(BaseModel):
    decision: str
    reviewed_at: datetime


class ReceiptProof(BaseModel):
    """The proof: its window, its content's hash, when it reached storage, and the verdict with its reason codes.

    Fields whose values a later release may extend are plain strings, so that this release can verify its receipts.
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
    review: ReceiptReview | None


class Receipt(BaseModel):
    """The claims (RFC 7519): issuer, time of issue (seconds since the epoch), the proof's id, and the proof."""

    iss: str
    iat: Annotated[int, Field(ge=0, lt=LAST_SECOND)]
    sub: UUID
    proof: ReceiptProof

    @classmethod
    def from_row(cls, row: "ReceiptRow", *, issuer: str, now: datetime) -> Self:
        """The receipt of a proof as of now. Raises `NotDecided` if it has no verdict yet."""
        check_decided(row.status, row.created_at, now)
        facts = {name: getattr(row, name) for name in ReceiptProof.model_fields if hasattr(row, name)}
        review = None
        if row.review and row.reviewed_at:
            review = {"decision": row.review, "reviewed_at": _utc(row.reviewed_at)}
        return cls(
            iss=issuer,
            iat=int(now.timestamp()),
            sub=row.id,
            proof=ReceiptProof.model_validate(
                {name: _utc(value) if isinstance(value, datetime) else value for name, value in facts.items()}
                | {
                    "sha256": value_digest(row.value) if row.sha256 is None else row.sha256.hex(),
                    # Only the codes: the sentences are for the participant, and can quote the content.
                    "reasons": [reason["code"] for reason in row.reasons],
                    "review": review,
                }
            ),
        )

    def payload(self) -> bytes:
        """The JSON that is signed; times are RFC 3339, in UTC."""
        return self.model_dump_json().encode()


def value_digest(value: str | float | None) -> str | None:
    """The SHA-256 of a text or a number, in hexadecimal."""
    if value is None:
        return None
    text = value if isinstance(value, str) else f"{Decimal(repr(float(value) + 0.0)).normalize():f}"
    return hashlib.sha256(text.encode()).hexdigest()


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC)


def parse(text: str) -> jws.CompactJws:
    """Parse a receipt without verifying it: trust only its `kid` until then. Raises `InvalidReceipt`."""
    try:
        signed = jws.CompactJws.read(text, algorithm=ALGORITHM, max_length=MAX_LENGTH)
    except jws.MalformedJws as error:
        raise InvalidReceipt(f"This is not a complete receipt. {error}") from None
    if signed.typ != TYPE:
        raise InvalidReceipt(f"This is signed, but not a receipt: its type is {signed.typ!r:.40}, not {TYPE!r}.")
    return signed


def verify(text: str, key_set: object) -> Receipt:
    """Verify a receipt with the receipt keys of a JSON Web Key Set (RFC 7517). Raises `InvalidReceipt`."""
    signed = parse(text)
    keys = [key for key in _keys(key_set) if key.key_id == signed.kid]
    if not keys:
        raise InvalidReceipt(
            f"These keys do not include the receipt's key, {signed.kid!r:.40}. Use the current keys of its issuer."
        )
    if not any(signed.is_signed_by(key) for key in keys):
        raise InvalidReceipt("The signature is wrong: the receipt was changed, or another issuer signed it.")
    return _claims(signed)


def _claims(signed: jws.CompactJws) -> Receipt:
    try:
        jws.parse_object(signed.payload)  # no duplicate members
        return Receipt.model_validate_json(signed.payload)
    except (jws.MalformedJws, ValidationError):
        raise InvalidReceipt("The signed content is not a receipt.") from None


def _keys(key_set: object) -> list[jwt.PyJWK]:
    """The keys that are for receipts only (RFC 8725, 3.1)."""
    wanted = {"kty": "EC", "crv": "P-256", "alg": ALGORITHM, "use": "sig"}
    if not isinstance(key_set, dict) or not isinstance(key_set.get("keys"), list):
        raise InvalidReceipt("The keys are not a JSON Web Key Set.")
    try:
        return [
            jwt.PyJWK({name: jwk[name] for name in ("kty", "crv", "x", "y", "kid")}, ALGORITHM)
            for jwk in key_set["keys"]
            if isinstance(jwk, dict) and wanted.items() <= jwk.items()
        ]
    except (jwt.PyJWTError, KeyError, ValueError, TypeError):
        raise InvalidReceipt("The keys are not a JSON Web Key Set: one of them is malformed.") from None


def _fetch(url: str) -> bytes:
    """Fetch keys by HTTPS or from this machine, so that nobody can replace them. Raises `InvalidReceipt`."""

    class NoRedirects(HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            return None

    try:
        place = urlsplit(url)
        if place.scheme != "https" and not (place.scheme == "http" and place.hostname in LOCAL_HOSTS):
            raise InvalidReceipt(f"Keys are fetched over HTTPS only, not from {url!r:.200}.")
        with build_opener(NoRedirects).open(url, timeout=10) as response:
            body: bytes = response.read(MAX_KEY_SET)
    except (URLError, OSError, HTTPException, ValueError) as error:
        raise InvalidReceipt(f"The keys could not be fetched from {url!r:.200}: {error}") from None
    return body


def _key_set(place: str) -> Any:
    """Read the keys from a file or a URL. Raises `InvalidReceipt`."""
    try:
        return json.loads(_fetch(place) if "://" in place else Path(place).read_bytes())
    except OSError as error:
        raise InvalidReceipt(f"The keys cannot be read: {error}") from None
    except (ValueError, RecursionError):
        raise InvalidReceipt(f"The content of {place!r:.200} is not a JSON Web Key Set: it is not JSON.") from None


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LENGTH + 100)
    except OSError as error:
        raise InvalidReceipt(f"The receipt cannot be read: {error}") from None
    return data.decode("ascii", "replace").strip()


def _words(receipt: Receipt, keys: str) -> list[str]:
    """The lines that describe a receipt to a person."""
    proof = receipt.proof
    zone = f"{proof.timezone or 'zone not recorded'}, tzdata {proof.tzdata or 'not recorded'}"
    reasons = f" ({', '.join(proof.reasons)})" if proof.reasons else ""
    review = proof.review
    lines = [
        f"This receipt is valid, according to the keys of {keys}.",
        f"  issuer       {receipt.iss}, on {_text(datetime.fromtimestamp(receipt.iat, UTC))}",
        f"  proof        {receipt.sub}, a {proof.kind}",
        f"  challenge    {proof.challenge_id}",
        f"  participant  {proof.participant_id}",
        f"  window       {proof.local_date}, from {_text(proof.opens_at)} to {_text(proof.closes_at)} ({zone})",
        f"  sha256       {proof.sha256 or 'deleted'}",
        f"  stored       {_text(proof.stored_at)}",
        f"  verdict      {proof.status}{reasons}, on {_text(proof.decided_at)}",
    ]
    if review:
        lines.append(f"  review       a reviewer decided to {review.decision} it, on {_text(review.reviewed_at)}")
    return lines


def _text(instant: datetime | None) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if instant else "an unknown time"


def main(arguments: Sequence[str] | None = None) -> int:
    """`verify FILE` prints a valid receipt and returns 0, or prints why it is invalid and returns 1."""
    parser = argparse.ArgumentParser(prog="python -m proofs.receipts", description="Check receipts of proofs.")
    verb = parser.add_subparsers(required=True, metavar="command").add_parser("verify", help="check one")
    verb.add_argument("file", type=Path, metavar="FILE", help="the receipt, as the API returned it")
    verb.add_argument(
        "--jwks",
        metavar="FILE_OR_URL",
        help=f"the keys; by default they are fetched from the receipt's issuer ({JWKS}): check that you know it",
    )
    options = parser.parse_args(arguments)
    try:
        text = _file(options.file)
        # Keys from the issuer prove only that the issuer signed it; the first lines say who that is.
        keys = options.jwks or _claims(parse(text)).iss.rstrip("/") + JWKS
        lines, status, stream = _words(verify(text, _key_set(keys)), keys), 0, sys.stdout
    except InvalidReceipt as error:
        lines, status, stream = [str(error)], 1, sys.stderr
    for line in lines:  # The receipt is untrusted: print no control characters to a terminal.
        print("".join(each if each.isprintable() else "?" for each in line), file=stream)
    return status


if __name__ == "__main__":
    sys.exit(main())
