"""SQL of the links in mails. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from chally.db import Tx

Purpose = Literal["magic_link", "password_reset", "email_change", "unlock"]


@dataclass(frozen=True, slots=True)
class Link:
    """What a link was sent for: whose account (nobody's, where the address had none), and to which address."""

    user_id: UUID
    email: str


def put(
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
    """Write a link; it takes the place of an older one of the same purpose and subject."""
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


def take(tx: Tx, purpose: Purpose, token_hash: bytes, now: datetime) -> Link | None:
    """The link behind a token, once; None when it is unknown, used, replaced or too old."""
    return tx.maybe(
        """
        delete from identity.mail_links
        where token_hash = %(token_hash)s and purpose = %(purpose)s and expires_at > %(now)s
        returning user_id, email
        """,
        {"purpose": purpose, "token_hash": token_hash, "now": now},
        row=Link,
    )


def drop(tx: Tx, user_id: UUID) -> None:
    """All links of an account: what proved something yesterday must not do so after a change of password or address."""
    tx.run("delete from identity.mail_links where user_id = %(user_id)s", {"user_id": user_id})


def drop_expired(tx: Tx, now: datetime) -> int:
    return tx.count("delete from identity.mail_links where expires_at <= %(now)s", {"now": now})
