"""SQL of second factors and of the sign-ins that wait for one. One function, one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class Totp:
    """An authenticator app. It is on if `confirmed_at` is set."""

    sealed_secret: bytes
    confirmed_at: datetime | None


def methods(tx: Tx, user_id: UUID) -> list[str]:
    """Return the second factors that a sign-in by password requires, `code` first; none if TOTP is off."""
    found: list[str] | None = tx.value(
        """
        select array['code']
            || case when exists (select from identity.backup_codes b where b.user_id = t.user_id and b.used_at is null)
                then array['backup_code'] else '{}' end
            || case when exists (select from identity.passkeys p where p.user_id = t.user_id)
                then array['assertion'] else '{}' end
        from identity.totp t where t.user_id = %(user_id)s and t.confirmed_at is not null
        """,
        {"user_id": user_id},
    )
    return found or []


@dataclass(frozen=True, slots=True)
class TotpState:
    """When the authenticator app was turned on (None: off), and how many unused backup codes are left."""

    confirmed_at: datetime | None
    backup_codes_left: int


def find_totp_state(tx: Tx, user_id: UUID) -> TotpState:
    return tx.one(
        """
        select (select confirmed_at from identity.totp where user_id = %(user_id)s) as confirmed_at,
               (select count(*) from identity.backup_codes where user_id = %(user_id)s and used_at is null)
               as backup_codes_left
        """,
        {"user_id": user_id},
        row=TotpState,
    )


def add_pending(tx: Tx, token_hash: bytes, user_id: UUID, expires_at: datetime) -> None:
    tx.run(
        """
        insert into identity.pending_sign_ins (token_hash, user_id, expires_at)
        values (%(token_hash)s, %(user_id)s, %(expires_at)s)
        """,
        {"token_hash": token_hash, "user_id": user_id, "expires_at": expires_at},
    )


def find_pending(tx: Tx, token_hash: bytes, now: datetime) -> UUID | None:
    """Return the user of a pending sign-in; None if its token is unknown, used or expired."""
    found: UUID | None = tx.value(
        "select user_id from identity.pending_sign_ins where token_hash = %(token_hash)s and expires_at > %(now)s",
        {"token_hash": token_hash, "now": now},
    )
    return found


def delete_pending(tx: Tx, token_hash: bytes) -> None:
    tx.run("delete from identity.pending_sign_ins where token_hash = %(token_hash)s", {"token_hash": token_hash})


def delete_pending_of_user(tx: Tx, user_id: UUID) -> None:
    """Delete the pending sign-ins of a user, for example because their password has changed."""
    tx.run("delete from identity.pending_sign_ins where user_id = %(user_id)s", {"user_id": user_id})


def delete_expired_pending(tx: Tx, now: datetime) -> int:
    return tx.count("delete from identity.pending_sign_ins where expires_at <= %(now)s", {"now": now})


def lock_pending(tx: Tx, token_hash: bytes, now: datetime) -> UUID | None:
    """Like `find_pending`, with a lock: concurrent attempts with one token run one by one."""
    found: UUID | None = tx.value(
        "select user_id from identity.pending_sign_ins"
        " where token_hash = %(token_hash)s and expires_at > %(now)s for update",
        {"token_hash": token_hash, "now": now},
    )
    return found


def find_totp(tx: Tx, user_id: UUID) -> Totp | None:
    return tx.maybe(
        "select sealed_secret, confirmed_at from identity.totp where user_id = %(user_id)s",
        {"user_id": user_id},
        row=Totp,
    )


def upsert_unconfirmed_totp(tx: Tx, user_id: UUID, sealed_secret: bytes, now: datetime) -> bool:
    """Store an unconfirmed secret, replacing an unconfirmed one. False if a confirmed one exists."""
    touched = tx.count(
        """
        insert into identity.totp (user_id, sealed_secret, created_at) values (%(user_id)s, %(sealed_secret)s, %(now)s)
        on conflict (user_id) do update set
            sealed_secret = excluded.sealed_secret, created_at = excluded.created_at, last_step = 0
            where totp.confirmed_at is null
        """,
        {"user_id": user_id, "sealed_secret": sealed_secret, "now": now},
    )
    return touched == 1


def confirm_totp(tx: Tx, user_id: UUID, sealed_secret: bytes, step: int, now: datetime) -> bool:
    """Confirm a secret with a code of `step`. False if the secret was replaced or confirmed concurrently."""
    touched = tx.count(
        """
        update identity.totp set confirmed_at = %(now)s, last_step = %(step)s
        where user_id = %(user_id)s and sealed_secret = %(sealed_secret)s and confirmed_at is null
        """,
        {"user_id": user_id, "sealed_secret": sealed_secret, "step": step, "now": now},
    )
    return touched == 1


def advance_totp(tx: Tx, user_id: UUID, step: int) -> bool:
    """Consume a time step. False if a code of this or a later step was accepted before."""
    touched = tx.count(
        """
        update identity.totp set last_step = %(step)s
        where user_id = %(user_id)s and confirmed_at is not null and last_step < %(step)s
        """,
        {"user_id": user_id, "step": step},
    )
    return touched == 1


def delete_totp(tx: Tx, user_id: UUID) -> bool:
    """Turn TOTP off. False if it was not on."""
    touched = tx.count(
        "delete from identity.totp where user_id = %(user_id)s and confirmed_at is not null", {"user_id": user_id}
    )
    return touched == 1


def add_backup_codes(tx: Tx, user_id: UUID, code_hashes: Sequence[bytes]) -> None:
    tx.run(
        """
        insert into identity.backup_codes (user_id, code_hash)
        select %(user_id)s, unnest(%(code_hashes)s::bytea[])
        """,
        {"user_id": user_id, "code_hashes": list(code_hashes)},
    )


def consume_backup_code(tx: Tx, user_id: UUID, code_hash: bytes, now: datetime) -> bool:
    """Use up a code. False if there is no such unused code."""
    touched = tx.count(
        """
        update identity.backup_codes set used_at = %(now)s
        where user_id = %(user_id)s and code_hash = %(code_hash)s and used_at is null
        """,
        {"user_id": user_id, "code_hash": code_hash, "now": now},
    )
    return touched == 1


def delete_backup_codes(tx: Tx, user_id: UUID) -> None:
    tx.run("delete from identity.backup_codes where user_id = %(user_id)s", {"user_id": user_id})


def reset_session_second_factors(tx: Tx, user_id: UUID) -> None:
    """If the user has no second factor left, mark their sessions as having passed none, so that they lose the rights
    that require one.
    """
    tx.run(
        """
        update identity.sessions s set second_factor = false
        where s.user_id = %(user_id)s and s.second_factor
          and not exists (select from identity.totp t where t.user_id = s.user_id and t.confirmed_at is not null)
          and not exists (select from identity.passkeys p where p.user_id = s.user_id)
        """,
        {"user_id": user_id},
    )
