"""SQL of the column that the search reads. One function, one statement."""

from dataclasses import dataclass
from uuid import UUID

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class UnsearchableChallenge:
    """A challenge that the search does not find yet: a release before the search's wrote it."""

    id: UUID
    title: str
    description: str


def lock_unsearchable(tx: Tx, limit: int) -> list[UnsearchableChallenge]:
    return tx.all(
        """
        select id, title, description from challenges.challenges
        where search is null order by id limit %(limit)s for no key update skip locked
        """,
        {"limit": limit},
        row=UnsearchableChallenge,
    )


def set_search(tx: Tx, documents: dict[UUID, str]) -> None:
    tx.run(
        """
        update challenges.challenges c set search = made.document::tsvector
        from unnest(%(ids)s::uuid[], %(documents)s::text[]) as made (id, document) where c.id = made.id
        """,
        {"ids": list(documents), "documents": list(documents.values())},
    )
