"""SQL of challenges, a noun a file; one function, one statement.

The SQL of windows, their outcomes and changes of zone stands in those modules (`windows`, `outcomes`, `zone_change`).
"""

from challenges import rules
from chally.errors import AppError, TransactionConflict, Unauthenticated

CONSTRAINTS: dict[str, type[AppError]] = {
    "challenges_already_started": rules.AlreadyStarted,
    "challenges_full": rules.ChallengeFull,
    "challenges_not_active": rules.NotActive,
    "challenges_owner_already_in": rules.OwnerAlreadyJoined,
    "challenges_owner_cannot_leave": rules.OwnerCannotLeave,
    "challenges_quota_joined": rules.TooManyJoined,
    "challenges_quota_owned": rules.TooManyOwned,
    "challenges_removed": rules.RemovedByOwner,
    "challenges_schedule_frozen": rules.ScheduleFrozen,
    # two challenges drew the same code: the request runs again, with another one
    "challenges_invite_code": TransactionConflict,
    # the account has been deleted, and its token has not expired yet
    "challenges_owner_fkey": Unauthenticated,
    "participants_user_fkey": Unauthenticated,
}
