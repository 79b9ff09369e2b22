"""The profile of an account: username, time zone and notification preferences."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from chally import audit
from chally.body import Body
from chally.db import Tx
from chally.fields import TimeOfDay
from identity import rules, usernames
from identity.queries import registrations, users
from identity.queries.users import User


class QuietHoursBody(Body):
    """Hours without reminders, in the account's time zone. A `to` before `from` is on the next day."""

    begins: Annotated[TimeOfDay, Field(alias="from")]
    ends: Annotated[TimeOfDay, Field(alias="to")]

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.begins == self.ends:
            raise ValueError(
                "Quiet hours must not begin and end at the same time. To stop the mails, turn reminders off."
            )
        return self


class NotificationPreferences(BaseModel):
    """The mails that the user wants."""

    reminders: bool = Field(description="Send an email before a window closes without a proof.")
    quiet_hours: Annotated[
        QuietHoursBody | None,
        Field(
            description="A reminder due in quiet hours is sent when they end, if the window is then still open for at "
            "least five minutes. Otherwise it is sent when they begin, if the window is open by then, or not at all."
        ),
    ]

    @classmethod
    def of(cls, user: User) -> Self:
        hours = None
        if user.quiet_from is not None and user.quiet_to is not None:
            hours = QuietHoursBody.model_validate({"from": f"{user.quiet_from:%H:%M}", "to": f"{user.quiet_to:%H:%M}"})
        return cls(reminders=user.wants_reminders, quiet_hours=hours)


class UserOut(BaseModel):
    id: UUID
    username: str
    email: str
    email_verified: bool
    timezone: str
    role: Literal["user", "moderator", "admin"]
    notifications: NotificationPreferences
    created_at: datetime

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(
            id=user.id,
            username=user.username,
            email=user.email,
            email_verified=user.email_verified_at is not None,
            timezone=user.timezone,
            role=user.role,
            notifications=NotificationPreferences.of(user),
            created_at=user.created_at,
        )


def find(tx: Tx, user_id: UUID) -> User | None:
    """Return the user, also if their account is deleted or purged."""
    return users.user(tx, user_id)


def stop_reminders(tx: Tx, user_id: UUID, now: datetime) -> None:
    """Switch off reminders. Does nothing if they are off, or if the account does not exist."""
    if users.stop_reminders(tx, user_id):
        audit.record(tx, "reminders_stopped_by_link", now, user_id=user_id)


def update(
    tx: Tx,
    user_id: UUID,
    *,
    username: str | None,
    timezone: str | None,
    wants_reminders: bool | None,
    quiet_hours: QuietHoursBody | None,
    sets_quiet_hours: bool,
    renamed: bool,
    now: datetime,
) -> User | None:
    """Update the given fields and return the user; None if the account does not exist. Raises `UsernameTaken`; of two
    concurrent calls for one name, one fails by the constraint `users_username_key`.

    `quiet_hours` are set, or cleared if None, only if `sets_quiet_hours`. `renamed` adds an audit row.
    """
    if username is not None and renamed and registrations.username_is_anothers(tx, username, user_id, now):
        raise rules.UsernameTaken(f"This username is taken. {usernames.suggest(tx, username, now)} is free.")
    user = users.update(
        tx,
        user_id,
        username=username,
        timezone=timezone,
        wants_reminders=wants_reminders,
        quiet_hours=(quiet_hours.begins, quiet_hours.ends) if quiet_hours else None,
        sets_quiet_hours=sets_quiet_hours,
        now=now,
    )
    if user is not None and renamed:
        audit.record(tx, "username_changed", now, user_id=user_id)
    return user
