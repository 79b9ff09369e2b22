"""SQL of the links in mails. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from chally.db import Tx

Purpose = Literal["magic_link", "password_reset", "email_change", "unlock"]


@dataclass(frozen=True, slots=True)
class Link:
    """A link's account (the id of none, if the address had no account) and the address it was sent to."""

    user_id: UUID
    email: str


def upsert(
    tx: Tx,
    purpose: Purpose,
    subject: str,
    *,
    token_hash: bytes,
    user_id: UUID,
    email: str,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Store a link. It replaces an older one with the same purpose and subject."""
    tx.run(
        """
        insert into identity.mail_links (purpose, subject, token_hash, user_id, email, created_at, expires_at)
        values (%(purpose)s, %(subject)s, %(token_hash)s, %(user_id)s, %(email)s, %(now)s, %(expires_at)s)
        on conflict (purpose, subject) do update set
            token_hash = excluded.token_hash, user_id = excluded.user_id, email = excluded.email,
            created_at = excluded.created_at, expires_at = excluded.expires_at
        """,
        {
            "purpose": purpose,
            "subject": subject,
            "token_hash": token_hash,
            "user_id": user_id,
            "email": email,
            "now": now,
            "expires_at": expires_at,
        },
    )


def consume(tx: Tx, purpose: Purpose, token_hash: bytes, now: datetime) -> Link | None:
    """Delete and return the link of a token; None if it is unknown, used, replaced or expired."""
    return tx.maybe(
        """
        delete from identity.mail_links
        where token_hash = %(token_hash)s and purpose = %(purpose)s and expires_at > %(now)s
        returning user_id, email
        """,
        {"purpose": purpose, "token_hash": token_hash, "now": now},
        row=Link,
    )


def delete_of_user(tx: Tx, user_id: UUID) -> None:
    """Delete all links of an account. A change of its password or address invalidates them."""
    tx.run("delete from identity.mail_links where user_id = %(user_id)s", {"user_id": user_id})


def delete_expired(tx: Tx, now: datetime) -> int:
    return tx.count("delete from identity.mail_links where expires_at <= %(now)s", {"now": now})
