"""base64url as RFC 4648 and RFC 7515 have it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chally import base64url


@given(st.binary(max_size=100))
def test_decoding_reverses_encoding(data: bytes) -> None:
    text = base64url.encode(data)
    assert not set(text) & set("+/=\n")
    assert base64url.decode(text) == data


def test_the_alphabet_is_safe_in_urls() -> None:
    assert base64url.encode(b"\xfb\xff\xbf") == "-_-_"


@pytest.mark.parametrize("text", ["+/+/", "AA==", "A", "AA A", "ÄÄÄÄ", "AB", "AAB", "AA\n"])
def test_other_spellings_are_refused(text: str) -> None:
    """Foreign alphabets, padding, impossible lengths, and stray bits in the last character."""
    with pytest.raises(ValueError, match="base64url"):
        base64url.decode(text)
