"""Bodies: their size and depth are bounded before anything else looks at them, and refusals are small."""

import gzip
import json
from typing import Any

import pytest

from chally import body
from chally.errors import InvalidRequest
from tests.support.api import Client, Response

REGISTER = {"email": "kari@people.test", "username": "kari", "password": "a long walk", "timezone": "Europe/Oslo"}


def send(nobody: Client, raw: bytes, **headers: str) -> Response:
    return nobody.call("POST", "/v1/auth/register", raw=raw, headers=headers)


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps({f"k{n}": 0 for n in range(70_000)}).encode(),
        json.dumps({"a" * 900_000: 0}).encode(),
        json.dumps({f"{n}" + "é" * 100: 0 for n in range(999)}).encode(),
        json.dumps({"\0~/" * 60 + str(n): 0 for n in range(999)}).encode(),
        json.dumps({"password": [0] * 300_000}).encode(),
        b'{"email":' * 20_000,
        b"[" * 900_000,
        b'{"email":' * 100 + b"0" + b"}" * 100,
        b'{"email": ' + b"9" * 900_000 + b"}",
        b"\xff\xfe" * 400_000,
    ],
    ids=["keys", "key", "long-keys", "escaped-keys", "list", "open", "brackets", "deep", "digits", "binary"],
)
def test_a_refusal_is_much_smaller_than_the_body_it_refuses(nobody: Client, raw: bytes) -> None:
    refused = send(nobody, raw)
    assert refused.code == "invalid"
    assert len(refused.text.encode()) < 20_000
    assert 1 <= len(refused.json["errors"]) <= 20


def test_a_refusal_says_how_many_fields_are_invalid(nobody: Client) -> None:
    refused = send(nobody, json.dumps(REGISTER | {f"field_{n}": 0 for n in range(30)}).encode())
    assert refused.json["detail"] == "30 fields are invalid. The first 20 of them are in errors."
    assert refused.json["errors"][0] == {
        "pointer": "/field_0",
        "message": "Unknown field. Remove it, or check its spelling.",
    }


def test_many_unknown_parameters_are_refused_in_a_small_answer(nobody: Client) -> None:
    refused = nobody.get("/live", **{f"k{n}" + "x" * 100: 1 for n in range(60)})
    assert refused.code == "invalid"
    assert len(refused.text) < 5_000


@pytest.mark.parametrize(
    ("raw", "headers"),
    [
        (gzip.compress(json.dumps(REGISTER).encode()), {"content-encoding": "gzip"}),
        (gzip.compress(json.dumps(REGISTER).encode()), {}),
        (json.dumps(REGISTER).encode(), {"content-encoding": "br"}),
        (gzip.compress(b"{}"), {"content-encoding": "gzip", "content-type": "application/octet-stream"}),
    ],
)
def test_a_compressed_body_is_refused_as_such(nobody: Client, raw: bytes, headers: dict[str, str]) -> None:
    refused = send(nobody, raw, **headers)
    assert (refused.status, refused.code) == (415, "unsupported_encoding")
    assert refused.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"email": }', "The body is not valid JSON (line 1, column 11)."),
        (b"\xff", "The body is not valid JSON: its text is not UTF-8."),
        (b"[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]", "The body is nested more than 20 levels deep."),
        (b"1" * 5000, "The body has a number with too many digits."),
    ],
)
def test_a_body_that_cannot_be_read_is_explained(raw: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body.parse(raw, encoding="")
    assert refused.value.errors == [{"pointer": "", "message": message}]


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_plain_body_is_read(encoding: str) -> None:
    value: Any = body.parse('{"a": [1, {"b": "\u00e9"}]}'.encode("utf-8-sig"), encoding=encoding)
    assert value == {"a": [1, {"b": "\u00e9"}]}
