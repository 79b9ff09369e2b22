"""SQL of identity, one file per noun. The SQL of exporting and erasing a user stands in `identity.personal_data`."""

from chally.errors import AppError
from identity.rules import TokenInvalid, UsernameTaken

CONSTRAINTS: dict[str, type[AppError]] = {
    "users_username_key": UsernameTaken,
    "users_email_key": TokenInvalid,  # another account took the address before its link was followed
}
