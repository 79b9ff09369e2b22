"""Lists: `limit`, `offset` or `cursor` in; `{items, has_more, next_cursor}` out."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel

from chally import base64url
from chally.errors import FieldError, InvalidRequest


class Page[T](BaseModel):
    """One page of a list. `next_cursor` asks for the following one; it is null on the last."""

    items: list[T]
    has_more: bool
    next_cursor: str | None


class Paging:
    """What part of a list is asked for. Queries fetch `fetch` rows: one more than the page, to know if more follow."""

    def __init__(self, limit: int, offset: int, position: str | None) -> None:
        self.limit = limit
        self.fetch = limit + 1
        self.offset = offset
        self.position = position

    @property
    def after(self) -> UUID | None:
        """The id that the page follows, if ids order the list. Raises `InvalidRequest` for another list's cursor."""
        try:
            return None if self.position is None else UUID(self.position)
        except ValueError:
            raise bad_cursor() from None

    def page[T, R](self, rows: Sequence[R], items: Sequence[T], positions: Sequence[str]) -> Page[T]:
        """The page of `items`, where `positions` says for each row what a cursor behind it must remember."""
        has_more = len(rows) > self.limit
        cursor = _encode(positions[self.limit - 1]) if has_more else None
        return Page(items=list(items[: self.limit]), has_more=has_more, next_cursor=cursor)


def _paging(
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Paging:
    return Paging(limit, offset, None if cursor is None else _decode(cursor))


PageParams = Annotated[Paging, Depends(_paging)]


def _encode(position: str) -> str:
    return base64url.encode(position.encode())


def _decode(cursor: str) -> str:
    try:
        return base64url.decode(cursor).decode()
    except ValueError:
        raise bad_cursor() from None


def bad_cursor() -> InvalidRequest:
    """For cursors that are not ours, or of another list."""
    error = FieldError(pointer="/query/cursor", message="This cursor is not one of ours: take next_cursor as it came.")
    return InvalidRequest(errors=[error])
