"""Addresses as the mail system sees them."""

import pytest

from chally.addresses import mailbox, to_ascii


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("Kari@example.com", "Kari@example.com"),
        ("kari@bücher.example", "kari@xn--bcher-kva.example"),
        ("kari@BÜCHER.example", "kari@xn--bcher-kva.example"),
        ("kari@straße.example", "kari@xn--strae-oqa.example"),
        ("kari@例え.テスト", "kari@xn--r8jz45g.xn--zckzah"),
    ],
)
def test_the_domain_is_in_punycode(address: str, expected: str) -> None:
    assert to_ascii(address) == expected


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("kari@example.com", "KARI+news@Example.com"),
        ("kari@bücher.example", "kari+1@xn--bcher-kva.example"),
        ("kari@gmail.com", "K.a.r.i+x@googlemail.com"),
        ("+x@example.com", "+x@example.com"),
    ],
)
def test_one_mailbox_has_many_addresses(address: str, same: str) -> None:
    assert mailbox(address) == mailbox(same)


@pytest.mark.parametrize("other", ["kari@example.org", "ka.ri@example.com", "karin@example.com"])
def test_other_addresses_are_other_mailboxes(other: str) -> None:
    assert mailbox(other) != mailbox("kari@example.com")
