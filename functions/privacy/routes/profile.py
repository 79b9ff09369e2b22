"""HTTP of changing the profile. A change of time zone moves windows and reminders, too."""

from typing import Annotated

from pydantic import Field

from challenges import zone_change
from chally import clock, db, http, limits, ratelimit
from chally.body import Body
from chally.errors import Unauthenticated
from chally.http import CurrentActor
from chally.zones import Zone
from identity import profile, usernames
from identity.fields import Username
from identity.profile import QuietHoursBody, UserOut
from notifications import reminders

router = http.router("privacy")


class NotificationsIn(Body):
    """Omitted fields are unchanged. `quiet_hours: null` removes the quiet hours."""

    reminders: bool | None = None
    quiet_hours: Annotated[
        QuietHoursBody | None, Field(description="Null removes them; omit the field to keep them.")
    ] = None


class MeIn(Body):
    """The fields to change. Omitted and null fields are unchanged, but `notifications.quiet_hours: null` removes the
    quiet hours.
    """

    username: Username | None = None
    timezone: Zone | None = None
    notifications: NotificationsIn | None = None


@router.patch("/v1/me", summary="Change my account", dependencies=[limits.per_account("profile_change", body=MeIn)])
async def change_account(body: MeIn, actor: CurrentActor) -> UserOut:
    """Change my username, time zone or notification preferences.

    The time zone is the default for challenges you join later. It also moves the challenges that use your account's
    zone: open windows stay as they are, later dates use the new zone, and no date is skipped or repeated. Challenges
    joined with a `timezone` keep it. POST /v1/me/timezone/preview shows what would move. Quiet hours use this time zone
    and take effect at once, including for reminders already planned.
    """
    preferences = body.notifications or NotificationsIn()
    sets_quiet_hours = "quiet_hours" in preferences.model_fields_set
    now = clock.now()
    with db.as_user(actor, read_only=True) as tx:
        former = profile.find(tx, actor.user_id)
    renamed = body.username is not None and (former is None or body.username != former.username)
    if body.username is not None and renamed:
        usernames.check(body.username, now)
        ratelimit.consume(now, actor, username_change=str(actor.user_id))
    if body.timezone is not None and (former is None or body.timezone != former.timezone):
        ratelimit.consume(now, actor, timezone_change=str(actor.user_id))
    with db.as_account(actor, "PATCH /v1/me") as tx:
        if body.timezone is not None:
            zone_change.move_account(tx, actor.user_id, body.timezone, now)
        user = profile.update(
            tx,
            actor.user_id,
            username=body.username,
            timezone=body.timezone,
            wants_reminders=preferences.reminders,
            quiet_hours=preferences.quiet_hours,
            sets_quiet_hours=sets_quiet_hours,
            renamed=renamed,
            now=now,
        )
        if user is None:
            raise Unauthenticated
        if body.timezone is not None or sets_quiet_hours:
            reminders.reschedule(tx, user.id, now)
    return UserOut.of(user)
