"""The column that the search reads: written with a title and a description, and filled for rows without it."""

from challenges import words
from challenges.queries import search as queries
from chally.db import Tx


def fill(tx: Tx, limit: int) -> int:
    """Make the next `limit` challenges findable that an earlier release wrote. Returns how many there were."""
    rows = queries.lock_unsearchable(tx, limit)
    if rows:
        queries.set_search(tx, {row.id: words.document(row.title, row.description) for row in rows})
    return len(rows)
