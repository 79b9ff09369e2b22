"""Fields of request bodies that several routes accept."""

from typing import Annotated

import email_validator
from pydantic import EmailStr, Field

from chally.sentences import pattern

# Domains such as .test and .local receive no mail on the internet, so accepting them does no harm, and local systems
# use them.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
# SES delivers to ASCII local parts only, and Python and Postgres lower-case some other letters differently.
email_validator.ALLOW_SMTPUTF8 = False

Token = Annotated[str, Field(min_length=1, max_length=200)]
Username = Annotated[
    str,
    pattern(
        r"^[A-Za-z0-9_]{3,30}$", "Must have 3 to 30 letters from A to Z, digits or underscores.", examples=["kari"]
    ),
]
Address = Annotated[EmailStr, Field(max_length=254)]
Password = Annotated[str, Field(min_length=1, max_length=1000)]
