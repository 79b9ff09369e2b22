"""Fields of request bodies that several routes accept. What people type is trimmed; passwords are taken as they are."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from identity import addresses, usernames

_HALF_WIDTH = BeforeValidator(lambda value: addresses.half_width(value) if isinstance(value, str) else value)

Token = Annotated[str, Field(min_length=1, max_length=200), _HALF_WIDTH]
# `usernames.check` decides, since it offers a free name; so the schema tells the pattern to machines only.
Username = Annotated[
    str,
    Field(
        max_length=usernames.MAX_TYPED,
        examples=["kari"],
        json_schema_extra={"pattern": usernames.PATTERN, "minLength": 3, "maxLength": 30},
    ),
    _HALF_WIDTH,
]
Login = Annotated[str, Field(min_length=1, max_length=addresses.MAX_LENGTH), _HALF_WIDTH]
Address = Annotated[
    str,
    Field(max_length=addresses.MAX_LENGTH, json_schema_extra={"format": "email"}, examples=["kari@example.com"]),
    AfterValidator(addresses.normalise),
    _HALF_WIDTH,
]
Password = Annotated[str, Field(min_length=1, max_length=1000)]
