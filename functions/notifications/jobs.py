"""Jobs of notifications: send due reminders, deliver and tidy the outbox, and check reminders every night."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from chally import clock, db, idempotency, outbox
from chally.log import job, logger, metrics
from chally.outbox import OutboxMessage
from chally.settings import OutboxSettings, load
from notifications import mail, queries, reconciliation, reminders

BATCH = 500
CHECKED = 1_000  # participants
MAILS = 10  # claimed at a time, well within their lease
# Left for the next run when less of the function's time than this remains (milliseconds).
RESERVE = 15_000


@metrics.log_metrics(raise_on_empty_metrics=False)
@logger.inject_lambda_context(clear_state=True)
@job
def reminders_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every minute: write mails for the reminders that are due. What a run leaves, by dying too, the next takes."""
    taken = sent = 0
    lateness = timedelta()
    while context.get_remaining_time_in_millis() > RESERVE:
        with db.as_system("send due reminders") as tx:
            batch = reminders.send_due(tx, clock.now(), BATCH)
        taken += batch.taken
        sent += batch.sent
        lateness = max(lateness, batch.lateness)
        if batch.taken < BATCH:
            break
    metrics.add_metric("RemindersTaken", MetricUnit.Count, taken)
    metrics.add_metric("RemindersSent", MetricUnit.Count, sent)
    # also when nothing is due: an alarm takes silence for a job that does not run
    metrics.add_metric("ReminderLateness", MetricUnit.Seconds, lateness.total_seconds())
    logger.info("reminders", taken=taken, sent=sent, lateness=lateness.total_seconds())
    return {"taken": taken, "sent": sent}


@metrics.log_metrics(raise_on_empty_metrics=False)
@logger.inject_lambda_context(clear_state=True)
@job
def nightly_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every night: compare the reminders of the last day with what a second calculation says of them.

    It mends nothing. RuntimeError at the end when any is wrong, for the alarm.
    """
    now = clock.now()
    checked = wrong = 0
    after: UUID | None = UUID(int=0)
    while after is not None and context.get_remaining_time_in_millis() > RESERVE:
        with db.as_system("check reminders", read_only=True) as tx:
            batch = reconciliation.check(tx, now, after, CHECKED)
        after = batch.last
        checked += batch.checked
        wrong += len(batch.findings)
        for finding in batch.findings:
            logger.error(
                "a wrong reminder",
                participant_id=str(finding.participant_id),
                local_date=str(finding.local_date),
                wrong=finding.wrong,
            )
    metrics.add_metric("RemindersWrong", MetricUnit.Count, wrong)
    logger.info("nightly", checked=checked, wrong=wrong, complete=after is None)
    if wrong:
        raise RuntimeError(f"{wrong} of {checked} reminders are wrong")
    return {"checked": checked, "wrong": wrong}


@metrics.log_metrics(raise_on_empty_metrics=False)
@logger.inject_lambda_context(clear_state=True)
@job
def outbox_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """On every nudge, and every minute: deliver what is due. A failure is recorded and tried again later."""
    delivered = failed = 0
    while context.get_remaining_time_in_millis() > RESERVE:
        with db.as_system("claim outbox") as tx:
            messages = outbox.claim(tx, MAILS)
        for message in messages:
            if context.get_remaining_time_in_millis() <= RESERVE:
                break  # the rest is due again when its lease ends
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


@metrics.log_metrics(raise_on_empty_metrics=False)
@logger.inject_lambda_context(clear_state=True)
@job
def housekeeping_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every five minutes: delete old outbox rows and idempotency keys, and report messages that used up their attempts.

    A job of its own, so that a nudge only delivers. Each part commits separately.
    """
    with db.as_system("delete delivered messages") as tx:
        messages = outbox.forget_delivered(tx)
    with db.as_system("delete old idempotency keys") as tx:
        keys = idempotency.forget_old(tx)
    with db.as_system("count dead messages", read_only=True) as tx:
        dead = outbox.dead(tx)
    metrics.add_metric("MessagesDead", MetricUnit.Count, dead)
    logger.info("outbox_housekeeping", messages_deleted=messages, keys_deleted=keys, messages_dead=dead)
    return {"messages_deleted": messages, "keys_deleted": keys, "messages_dead": dead}


def _deliver(message: OutboxMessage) -> bool:
    """One message out of the door, its delivery confirmed. Between the two a crash repeats it: at least once."""
    settings = load(OutboxSettings)
    try:
        to, username = _receiver(message)
        if to is not None:
            values = {"username": username} | message.payload["values"]
            letter = mail.compose(message.payload["template"], values, public_url=settings.public_url)
            mail.send(letter, to=to, sender=settings.mail_from, message_id=message.id)
    except Exception as error:
        # its class alone: what SES says of a failure names the address
        reason = type(error).__name__
        logger.error("delivery failed", message_id=str(message.id), attempts=message.attempts, error=reason)
        with db.as_system("record failed delivery") as tx:
            outbox.refuse(tx, message, reason)
        return False
    with db.as_system("confirm delivery") as tx:
        outbox.confirm(tx, message)
    logger.info(
        "delivered", message_id=str(message.id), template=message.payload["template"], traceparent=message.traceparent
    )
    return True


def _receiver(message: OutboxMessage) -> tuple[str | None, str]:
    """The address, and the name to greet. A person who is gone, or never confirmed their address, gets nothing."""
    if "to" in message.payload:
        return message.payload["to"], ""
    with db.as_system("find receiver") as tx:
        contact = queries.contact(tx, UUID(message.payload["user_id"]))
    if contact is None or not contact.verified:
        return None, ""
    return contact.email, contact.username
