"""Retention: how long identity keeps data that is no longer needed, and a sweep per table that deletes it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from chally import audit, ratelimit
from chally.db import Tx
from identity import rules
from identity.queries import failures, links, passkeys, registrations, second_factors, sessions

BATCH = 10_000
AUDIT_LIVES = timedelta(days=400)
SESSIONS_LIVE = timedelta(days=90)  # after their end

# By name. Each deletes at most BATCH rows, or all there are, and returns how many it deleted.
SWEEPS: Mapping[str, Callable[[Tx, datetime], int]] = {
    "rate_limits": ratelimit.delete_expired,
    "mail_links": links.delete_expired,
    "registrations": registrations.delete_expired,
    "pending_sign_ins": second_factors.delete_expired_pending,
    "passkey_challenges": passkeys.delete_expired_challenges,
    "login_failures": lambda tx, now: failures.delete_old(tx, now - rules.FAILURES_LIVE),
    "refresh_tokens": lambda tx, now: sessions.delete_expired_tokens(tx, now, BATCH),
    "sessions": lambda tx, now: sessions.delete_ended(tx, now - SESSIONS_LIVE, life=rules.REFRESH_LIFE, limit=BATCH),
    "audit": lambda tx, now: audit.delete_before(tx, now - AUDIT_LIVES, BATCH),
}
