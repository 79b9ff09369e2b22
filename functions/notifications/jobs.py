"""Jobs of notifications: send due reminders, deliver and tidy the outbox, and check reminders every night."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from chally import clock, db, idempotency, outbox, secrets
from chally.addresses import to_ascii
from chally.db import Tx
from chally.jobs import Scan, TimeBudget, attempt, drain_isolated, isolate, job
from chally.log import logger, metrics
from chally.outbox import OutboxMessage
from chally.settings import OutboxSettings, load
from notifications import mail, recipients, reconciliation, reminders, unsubscribe
from notifications.queries import ReminderKey
from notifications.recipients import Recipient

REMINDERS = 500  # in one transaction
PARTICIPANTS = 1_000  # checked in one transaction
MAILS = 10  # claimed at once; their lease leaves time for all of them
# A run starts no further batch with less time left than this; the next run continues.
RESERVE = timedelta(seconds=15)


@job
def reminders_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every minute: write the mails of due reminders. The next run continues after a timeout or a crash.

    A broken reminder is skipped and counted (RowsSkipped), and does not stop the others.
    """
    sent = 0
    lateness = timedelta()

    def find(broken: list[ReminderKey]) -> list[ReminderKey]:
        with db.as_system("find due reminders", read_only=True) as tx:
            return reminders.list_due(tx, clock.now(), REMINDERS, without=broken)

    def send(keys: Sequence[ReminderKey]) -> int:
        nonlocal sent, lateness
        with db.as_system("send due reminders") as tx:
            batch = reminders.send_due(tx, clock.now(), REMINDERS, keys)
        sent += batch.sent
        lateness = max(lateness, batch.lateness)
        return batch.claimed

    claimed = drain_isolated(find, send, task="send reminders", budget=TimeBudget(context, reserve=RESERVE))
    metrics.add_metric("RemindersClaimed", MetricUnit.Count, claimed)
    metrics.add_metric("RemindersSent", MetricUnit.Count, sent)
    # Also when nothing is due: an alarm treats missing data as a job that does not run.
    metrics.add_metric("ReminderLateness", MetricUnit.Seconds, lateness.total_seconds())
    logger.info("reminders", claimed=claimed, sent=sent, lateness=lateness.total_seconds())
    return {"claimed": claimed, "sent": sent}


@job
def nightly_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every night: compare the reminders of the last day with a second calculation.

    The job only reports. It raises RuntimeError at the end if any reminder is wrong, which triggers the alarm.
    """
    now = clock.now()
    checked = wrong = 0

    def load(after: UUID) -> tuple[list[UUID], UUID | None]:
        with db.as_system("find reminders to check", read_only=True) as tx:
            people = reconciliation.list_participants(tx, now, after, PARTICIPANTS)
        return people, people[-1] if people else None

    def check(people: Sequence[UUID]) -> None:
        nonlocal checked, wrong
        with db.as_system("check reminders", read_only=True) as tx:
            batch = reconciliation.check_reminders(tx, now, people)
        checked += batch.checked
        wrong += len(batch.mismatches)
        for mismatch in batch.mismatches:
            logger.error(
                "reminder_mismatch",
                participant_id=str(mismatch.participant_id),
                local_date=str(mismatch.local_date),
                kind=mismatch.kind,
            )

    scan = Scan(load, TimeBudget(context, reserve=RESERVE))
    for people in scan:
        unreadable = isolate(people, check, task="check reminders")
        wrong += len(unreadable)
    metrics.add_metric("RemindersWrong", MetricUnit.Count, wrong)
    logger.info("reminder_reconciliation", checked=checked, wrong=wrong, complete=scan.complete)
    if wrong:
        raise RuntimeError(f"{wrong} of {checked} reminders are wrong")
    return {"checked": checked, "wrong": wrong}


@job
def outbox_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """On every nudge, and every minute: deliver due messages. A failure is recorded and retried later."""
    delivered = failed = 0
    budget = TimeBudget(context, reserve=RESERVE)
    while budget.has_time():
        with db.as_system("claim outbox") as tx:
            messages = outbox.claim(tx, MAILS)
        for message in messages:
            if not budget.has_time():
                break  # the others are due again when their lease ends
            if _deliver(message):
                delivered += 1
            else:
                failed += 1
        if len(messages) < MAILS:
            break
    metrics.add_metric("MessagesDelivered", MetricUnit.Count, delivered)
    metrics.add_metric("MessagesFailed", MetricUnit.Count, failed)
    logger.info("outbox", delivered=delivered, failed=failed)
    return {"delivered": delivered, "failed": failed}


@job
def housekeeping_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every five minutes: delete old outbox rows and idempotency keys, and report messages that used up their attempts.

    A job of its own, so that a nudge only delivers. Each part commits separately, and does not stop the others if it
    fails; RuntimeError at the end triggers the alarm.
    """
    messages = attempt(lambda: _in_transaction("delete delivered messages", outbox.delete_delivered), name="messages")
    keys = attempt(lambda: _in_transaction("delete old idempotency keys", idempotency.delete_expired), name="keys")
    dead = attempt(lambda: _in_transaction("count dead messages", outbox.count_dead), name="dead messages")
    if dead is not None:
        metrics.add_metric("MessagesDead", MetricUnit.Count, dead)
    if messages is None or keys is None or dead is None:
        raise RuntimeError("a part of the job failed: see job_part_failure in the log")
    logger.info("outbox_housekeeping", messages_deleted=messages, keys_deleted=keys, messages_dead=dead)
    return {"messages_deleted": messages, "keys_deleted": keys, "messages_dead": dead}


def _in_transaction(reason: str, part: Callable[[Tx], int]) -> int:
    with db.as_system(reason) as tx:
        return part(tx)


def _deliver(message: OutboxMessage) -> bool:
    """Send a message, then confirm its delivery. A crash in between repeats it: delivery is at least once."""
    settings = load(OutboxSettings)
    try:
        with db.as_system("find recipient") as tx:
            recipient = recipients.find(tx, message)
            dropped = recipient is not None and recipients.is_over_limit(tx, message, recipient, clock.now())
            if dropped:
                outbox.mark_dropped(tx, message, "over the limit of its template")
        if dropped:
            logger.warning("mail_over_limit", message_id=str(message.id), template=message.payload["template"])
            metrics.add_metric("MailsOverLimit", MetricUnit.Count, 1)
            return True
        if recipient is not None:
            composed = mail.compose(
                message.payload["template"],
                {"username": recipient.username} | message.payload["values"],
                public_url=settings.public_url,
                timezone=recipient.timezone,
                unsubscribe_url=_unsubscribe_url(settings, recipient),
            )
            mail.send(composed, to=to_ascii(recipient.email), sender=settings.mail_from, message_id=message.id)
    except Exception as error:
        # Only the class: SES's error messages contain the address.
        reason = type(error).__name__
        logger.error("delivery_failed", message_id=str(message.id), attempts=message.attempts, error=reason)
        with db.as_system("record failed delivery") as tx:
            outbox.mark_failed(tx, message, reason)
        return False
    with db.as_system("confirm delivery") as tx:
        outbox.mark_delivered(tx, message)
    logger.info(
        "message_delivered",
        message_id=str(message.id),
        template=message.payload["template"],
        traceparent=message.traceparent,
    )
    return True


def _unsubscribe_url(settings: OutboxSettings, recipient: Recipient) -> str | None:
    if recipient.subscription is None:
        return None
    key = secrets.read(settings.unsubscribe_secret_arn).encode()
    return unsubscribe.url(settings.public_url, key, recipient.subscription)
