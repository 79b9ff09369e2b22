"""All SQL of challenges but for windows, which have a file of their own. A noun a file; one function, one statement."""

from challenges import rules
from chally.errors import AppError, ServiceUnavailable, Unauthenticated

CONSTRAINTS: dict[str, type[AppError]] = {
    "challenges_already_started": rules.AlreadyStarted,
    "challenges_full": rules.Full,
    "challenges_not_active": rules.NotActive,
    "challenges_owner_already_in": rules.OwnerAlreadyIn,
    "challenges_owner_cannot_leave": rules.OwnerCannotLeave,
    "challenges_quota_joined": rules.QuotaJoined,
    "challenges_quota_owned": rules.QuotaOwned,
    "challenges_removed": rules.Removed,
    # two codes came out alike: the request runs again, with another
    "challenges_invite_code": ServiceUnavailable,
    # the account is gone, and only its token still lives
    "challenges_owner_fkey": Unauthenticated,
    "participants_user_fkey": Unauthenticated,
}
