"""All SQL of privacy, one file per noun. The other contexts' tables are their own `personal_data` modules' business."""

from chally.errors import AppError
from identity.rules import UsernameTaken

CONSTRAINTS: dict[str, type[AppError]] = {"users_username_key": UsernameTaken}
