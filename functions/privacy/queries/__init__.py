"""SQL of privacy, one file per noun. What to export and erase stands in the `personal_data` module of each context."""

from chally.errors import AppError
from identity.rules import UsernameTaken

CONSTRAINTS: dict[str, type[AppError]] = {"users_username_key": UsernameTaken}
