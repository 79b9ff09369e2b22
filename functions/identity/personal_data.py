"""Personal data of identity: see `chally.personal_data`."""

from uuid import UUID

from chally.db import Tx
from chally.personal_data import TableRows, select_tables

_EXPORT = {
    "users": """
        select id, email, username, timezone, role, email_verified_at, created_at, wants_reminders, quiet_from,
            quiet_to, quiet_since, deleted_at, purged_at
        from identity.users where id = %(user_id)s
    """,
    "sessions": """
        select id, created_at, authenticated_at, second_factor, last_seen_at, user_agent, ip, generation, rotated_at,
            ended_at, ended_reason,
            (select max(t.expires_at) from identity.refresh_tokens t where t.session_id = s.id) as expires_at
        from identity.sessions s where user_id = %(user_id)s order by id
    """,
    "registrations": """
        select email, username, timezone, created_at, expires_at from identity.registrations
        where lower(email) = (select lower(email) from identity.users where id = %(user_id)s) order by created_at
    """,
    "mail_links": """
        select purpose, email, created_at, expires_at from identity.mail_links
        where user_id = %(user_id)s order by created_at
    """,
    "login_failures": """
        select f.failures, f.failed_at
        from identity.login_failures f, identity.users u
        where u.id = %(user_id)s and f.login_hash in (
            sha256(convert_to(lower(u.email), 'UTF8')), sha256(convert_to(lower(u.username), 'UTF8')),
            sha256(convert_to('account ' || u.id, 'UTF8')), sha256(convert_to('factor ' || u.id, 'UTF8'))
        )
    """,
    "pending_sign_ins": "select expires_at from identity.pending_sign_ins where user_id = %(user_id)s",
    "totp": "select created_at, confirmed_at from identity.totp where user_id = %(user_id)s",
    "backup_codes": "select used_at from identity.backup_codes where user_id = %(user_id)s",
    "passkeys": """
        select id, name, encode(credential_id, 'base64') as credential_id, encode(public_key, 'base64') as public_key,
            sign_count, backed_up, created_at, last_used_at
        from identity.passkeys where user_id = %(user_id)s order by id
    """,
    "passkey_challenges": "select expires_at from identity.passkey_challenges where user_id = %(user_id)s",
}
# In this order: the address and the username identify registrations and failures.
_FORGET = (
    """
    delete from identity.refresh_tokens
    where session_id in (select id from identity.sessions where user_id = %(user_id)s)
    """,
    "delete from identity.sessions where user_id = %(user_id)s",
    """
    delete from identity.registrations
    where lower(email) = (select lower(email) from identity.users where id = %(user_id)s)
    """,
    "delete from identity.mail_links where user_id = %(user_id)s",
    """
    delete from identity.login_failures
    where login_hash in (
        select sha256(convert_to(lower(login), 'UTF8'))
        from identity.users u, unnest(array[u.email, u.username, 'account ' || u.id, 'factor ' || u.id]) as login
        where u.id = %(user_id)s
    )
    """,
    "delete from identity.pending_sign_ins where user_id = %(user_id)s",
    "delete from identity.totp where user_id = %(user_id)s",
    "delete from identity.backup_codes where user_id = %(user_id)s",
    "delete from identity.passkeys where user_id = %(user_id)s",
    "delete from identity.passkey_challenges where user_id = %(user_id)s",
    """
    update identity.users set
        username = 'deleted_' || right(id::text, 12), email = id::text || '@deleted.invalid', password_hash = '!',
        timezone = 'UTC', role = 'user', email_verified_at = null, wants_reminders = false, quiet_from = null,
        quiet_to = null, quiet_since = null
    where id = %(user_id)s
    """,
)


def export(tx: Tx, user_id: UUID) -> TableRows:
    """Return the account, its sessions, second factors and links in mails, without secrets."""
    return select_tables(tx, _EXPORT, {"user_id": user_id})


def forget(tx: Tx, user_id: UUID) -> None:
    """Erase the account. Its row stays as a tombstone that nobody can sign in to: other tables refer to it."""
    for statement in _FORGET:
        tx.run(statement, {"user_id": user_id})
