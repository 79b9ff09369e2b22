"""Email addresses as people type them: one spelling for each, and a sentence for what cannot be one."""

import re
from contextlib import suppress

import email_validator
from email_validator import EmailNotValidError

# Domains such as .test and .local receive no mail on the internet, so accepting them does no harm, and local systems
# use them.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

MAX_LENGTH = 254  # RFC 5321, with a path's angle brackets
# Keyboards for Chinese and Japanese write ASCII in full width, too.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3002: ".", 0xFF61: "."}
# White space of every kind, and characters without width such as the marks of direction that address books copy.
_AROUND = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\xad\u061c\u1680\u180e\u3000\ufeff" + "".join(
    map(chr, (*range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070)))
)
_NAMED = re.compile(r"<[^<>]*>\s*\Z")


def normalise(text: str) -> str:
    """Return an address in its one spelling: the domain in lower case and in Unicode, not in Punycode, and nothing
    around it. Two addresses are equal if these are, but for upper case before the @.

    Raises ValueError with a sentence for its owner.
    """
    address = half_width(text)
    if _NAMED.search(address):
        raise ValueError("Send the address alone, without a name and angle brackets, such as kari@example.com.")
    local, at, _ = address.rpartition("@")
    foreign = next((character for character in local if not character.isascii()), None)
    if at and foreign is not None and not foreign.isprintable():
        raise ValueError("The address has an invisible character before the @. Type it again instead of copying it.")
    if at and foreign is not None:  # SES delivers to ASCII local parts only
        raise ValueError(f"We cannot send mail to an address with \u201c{foreign}\u201d before the @. Use another one.")
    try:
        found = email_validator.validate_email(address, check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError as error:
        raise ValueError(_sentence(error)) from None
    return found.normalized


def normalise_login(text: str) -> str:
    """Return an address or a username as they are compared: `normalise` where it is an address, in lower case."""
    login = half_width(text)
    if "@" in login:
        with suppress(ValueError):
            login = normalise(login)
    return login.lower()


def half_width(text: str) -> str:
    """Return the text without what keyboards and copying add: what cannot be seen around it, and full width."""
    return text.strip(_AROUND).translate(_FULL_WIDTH)


def _sentence(error: EmailNotValidError) -> str:
    text = str(error)
    if "Codepoint" in text or "IDNA" in text:
        return "The part after the @ is no domain name: it has a character that domain names cannot have."
    return text
