"""Personal data of privacy, the exports: see `chally.personal_data`."""

from uuid import UUID

from chally.db import Tx
from chally.personal_data import StoredObject, TableRows, select_tables
from privacy.rules import EXPORTS_PREFIX

_EXPORT = {
    "exports": """
        select id, requested_at, built_at, size, expires_at from privacy.exports
        where user_id = %(user_id)s order by id
    """,
}


def export(tx: Tx, user_id: UUID) -> TableRows:
    """Return the exports, this one included."""
    return select_tables(tx, _EXPORT, {"user_id": user_id})


def objects(tx: Tx, user_id: UUID) -> list[StoredObject]:
    """List the prefixes of the user's ZIPs. None of them belongs into another export."""
    return tx.all(
        "select %(prefix)s || id || '/' as key, null as name from privacy.exports where user_id = %(user_id)s",
        {"user_id": user_id, "prefix": EXPORTS_PREFIX},
        row=StoredObject,
    )


def forget(tx: Tx, user_id: UUID) -> None:
    """Delete the exports."""
    tx.run("delete from privacy.exports where user_id = %(user_id)s", {"user_id": user_id})
