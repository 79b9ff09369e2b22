"""Lists: `limit` with `offset` or `cursor` in; `{items, has_more, next_cursor}` out."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel

from chally import base64url
from chally.errors import FieldError, InvalidRequest


class Page[T](BaseModel):
    """One page of a list. Pass `next_cursor` as `cursor` to get the next page; it is null on the last one."""

    items: list[T]
    has_more: bool
    next_cursor: str | None


class Paging:
    """The requested part of a list. Queries fetch `fetch_limit` rows: one more than the page, to know if more follow.

    `position` is what the cursor remembers of the previous page's last row.
    """

    def __init__(self, limit: int, offset: int, position: str | None) -> None:
        self.limit = limit
        self.fetch_limit = limit + 1
        self.offset = offset
        self.position = position

    @property
    def after(self) -> UUID | None:
        """The id that the page follows, if ids order the list. Raises `InvalidRequest` for another list's cursor."""
        try:
            return None if self.position is None else UUID(self.position)
        except ValueError:
            raise invalid_cursor() from None

    def page[T, R](self, rows: Sequence[R], items: Sequence[T], positions: Sequence[str]) -> Page[T]:
        """The page of `items`. `positions` has for each row what a cursor behind it must remember."""
        has_more = len(rows) > self.limit
        cursor = base64url.encode(positions[self.limit - 1].encode()) if has_more else None
        return Page(items=list(items[: self.limit]), has_more=has_more, next_cursor=cursor)


def _paging(
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Paging:
    return Paging(limit, offset, None if cursor is None else _position(cursor))


PageParams = Annotated[Paging, Depends(_paging)]


def _position(cursor: str) -> str:
    try:
        return base64url.decode(cursor).decode()
    except ValueError:
        raise invalid_cursor() from None


def invalid_cursor() -> InvalidRequest:
    """The error for a cursor that we did not issue, or issued for another list."""
    error = FieldError(pointer="/query/cursor", message="Invalid cursor. Pass next_cursor unchanged.")
    return InvalidRequest(errors=[error])
