"""How long what is kept that nobody needs any more: a sweep for each, of at most so many rows at a time."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from chally import audit, ratelimit
from chally.db import Tx
from identity import rules
from identity.queries import exports, failures, links, passkeys, registrations, second_factors, sessions

BATCH = 10_000
AUDIT_LIVES = timedelta(days=400)
SESSIONS_LIVE = timedelta(days=90)  # after their end
EXPORTS_LIVE = timedelta(days=1)  # after they expired, or were given up

# What is swept: deletes up to BATCH rows or all there are, and answers how many.
SWEEPS: Mapping[str, Callable[[Tx, datetime], int]] = {
    "rate_limits": ratelimit.forget_old,
    "mail_links": links.drop_expired,
    "registrations": registrations.drop_lapsed,
    "pending_sign_ins": second_factors.drop_expired_pending,
    "passkey_challenges": passkeys.drop_expired_challenges,
    "login_failures": lambda tx, now: failures.drop_old(tx, now - rules.FAILURES_LIVE),
    "refresh_tokens": lambda tx, now: sessions.drop_expired_tokens(tx, now, BATCH),
    "sessions": lambda tx, now: sessions.drop_over(tx, now - SESSIONS_LIVE, life=rules.REFRESH_LIFE, limit=BATCH),
    "exports": lambda tx, now: exports.drop_old(tx, now - EXPORTS_LIVE),
    "audit": lambda tx, now: audit.forget_old(tx, now - AUDIT_LIVES, BATCH),
}
