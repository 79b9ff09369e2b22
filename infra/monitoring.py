"""Alarms and a dashboard."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IConstruct

from infra.database import RdsDatabase
from infra.function import Function
from infra.queues import WorkQueue
from infra.settings import StageSettings

PERIOD = Duration.minutes(5)
GIB = 1024**3


class Monitoring(Construct):
    """Alarms that notify a topic, and a dashboard. The description of an alarm says what to do."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: StageSettings,
        api: apigwv2.HttpApi,
        functions: Sequence[Function],
        queues: Sequence[WorkQueue],
        failures: sqs.IQueue,
        database: RdsDatabase,
    ) -> None:
        super().__init__(scope, construct_id)
        self._namespace = settings.metrics_namespace
        self._topic = sns.Topic(self, "Topic", enforce_ssl=True)
        if settings.alarm_email:
            self._topic.add_subscription(subscriptions.EmailSubscription(settings.alarm_email))
        self._dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=settings.name, default_interval=Duration.hours(12)
        )
        self._watch_api(api)
        self._watch_functions(functions)
        self._watch_queues(queues, failures)
        self._watch_database(database)
        self._watch_keys()
        self._watch_malware()
        self._watch_zones()
        self._watch_reminders()
        self._watch_rows()
        self._watch_schema()

    def _watch_api(self, api: apigwv2.HttpApi) -> None:
        requests = api.metric_count(period=PERIOD, statistic="Sum")
        refusals = api.metric_client_error(period=PERIOD, statistic="Sum")
        errors = api.metric_server_error(period=PERIOD, statistic="Sum")
        latency = api.metric_latency(period=PERIOD, statistic="p95")
        self._alarm("ApiErrors", errors, over=4, advice="The API returns 5xx. The access log shows on which routes.")
        self._alarm(
            "ApiLatency", latency, over=1000, periods=3, advice="One in twenty requests takes more than a second."
        )
        self._graph("API", [requests, refusals, errors], [latency])

    def _watch_functions(self, functions: Sequence[Function]) -> None:
        counts: list[cloudwatch.IMetric] = []
        durations: list[cloudwatch.IMetric] = []
        for function in functions:
            errors = function.function.metric_errors(period=PERIOD)
            advice = f"{function.function_name} failed. See the errors in its log group."
            self._alarm(f"{_name(function)}Errors", errors, over=0, advice=advice)
            throttles = function.function.metric_throttles(period=PERIOD)
            advice = f"{function.function_name} was throttled. Raise the account's concurrency limit."
            self._alarm(f"{_name(function)}Throttles", throttles, over=0, advice=advice)
            counts += [errors, throttles]
            durations.append(function.function.metric_duration(period=PERIOD, statistic="p95"))
        self._graph("Functions", counts, durations)

    def _watch_queues(self, queues: Sequence[WorkQueue], failures: sqs.IQueue) -> None:
        depths: list[cloudwatch.IMetric] = []
        for dead_letters in (*(queue.dead_letters for queue in queues), failures):
            depth = dead_letters.metric_approximate_number_of_messages_visible(period=PERIOD, statistic="Maximum")
            advice = "Work failed every attempt. Read the messages, fix the cause, then run make redrive."
            self._alarm(f"{_name(dead_letters)}NotEmpty", depth, over=0, advice=advice)
            depths.append(depth)
        ages: list[cloudwatch.IMetric] = []
        for queue in queues:
            age = queue.queue.metric_approximate_age_of_oldest_message(period=PERIOD, statistic="Maximum")
            advice = f"A message has waited for 15 minutes. Check {queue.worker.function_name}."
            self._alarm(f"{_name(queue)}Late", age, over=900, advice=advice)
            ages.append(age)
        dead = cloudwatch.Metric(
            namespace=self._namespace,
            metric_name="MessagesDead",
            dimensions_map={"service": "notifications"},
            period=PERIOD,
            statistic="Maximum",
        )
        advice = "Mails failed every attempt. Fix the cause in core.outbox.last_error, then set their attempts to 0."
        self._alarm("MessagesDead", dead, over=0, advice=advice)
        self._graph("Queues", [*depths, dead], ages)

    def _watch_database(self, database: RdsDatabase) -> None:
        cpu = database.instance.metric_cpu_utilization(period=PERIOD)
        connections = database.instance.metric_database_connections(period=PERIOD, statistic="Maximum")
        storage = database.instance.metric_free_storage_space(period=PERIOD, statistic="Minimum")
        pinned = cloudwatch.Metric(
            namespace="AWS/RDS",
            metric_name="DatabaseConnectionsCurrentlySessionPinned",
            dimensions_map={"ProxyName": database.proxy.db_proxy_name},
            period=PERIOD,
            statistic="Maximum",
        )
        advice = "The database is busy. Database Insights shows the statements."
        self._alarm("DatabaseCpu", cpu, over=80, periods=3, advice=advice)
        advice = "Few connections are left. Look for open transactions and for a pinned proxy."
        self._alarm("DatabaseConnections", connections, over=0.8 * database.size.max_connections, advice=advice)
        advice = "Storage is nearly full and has reached its limit. Raise max_storage."
        self._alarm("DatabaseStorage", storage, under=0.1 * database.size.storage * GIB, advice=advice)
        advice = "Sessions pin the proxy. Look for SET outside a transaction and for named prepared statements."
        self._alarm("DatabasePinned", pinned, over=0, periods=3, advice=advice)
        self._graph("Database", [cpu, connections, pinned], [storage])

    def _watch_keys(self) -> None:
        age = cloudwatch.Metric(
            namespace=self._namespace,
            metric_name="SigningKeyAgeDays",
            dimensions_map={"service": "identity"},
            period=Duration.days(1),  # reported once a day
            statistic="Maximum",
        )
        advice = "The signing key is over 100 days old, or identity-keys, which rotates it after 90, does not run."
        # missing data breaches: a job that does not run lets the key grow old
        self._alarm("SigningKeyAge", age, over=100, advice=advice, periods=2, missing_is_ok=False)
        self._graph("Signing key", [age], [])

    def _watch_malware(self) -> None:
        found, awaited = (
            cloudwatch.Metric(
                namespace=self._namespace,
                metric_name=name,
                dimensions_map={"service": "proofs"},
                period=PERIOD,
                statistic="Maximum",
            )
            for name in ("MalwareFound", "ScanAwaited")
        )
        advice = "Malware was uploaded and deleted. See malware in the log of proof-verdicts, and who sent it."
        self._alarm("MalwareFound", found, over=0, advice=advice)
        advice = "A proof has waited 15 minutes for its scan. Check that the protection plan is active and that its "
        advice += (
            "role may read. Fix the reason in scan_failed in the log of proof-verdicts, then scan the object again "
        )
        advice += "(aws guardduty send-object-malware-scan)."
        self._alarm("ScanAwaited", awaited, over=900, advice=advice)
        self._graph("Malware", [found], [awaited])

    def _watch_zones(self) -> None:
        differ = cloudwatch.Metric(
            namespace=self._namespace,
            metric_name="ZonesDiffer",
            dimensions_map={"service": "challenges"},
            period=Duration.days(1),  # reported once a day
            statistic="Maximum",
        )
        advice = (
            "Postgres and the functions disagree about a time zone; challenge-nightly logs which. "
            "Update the older one: the minor version of the engine, or tzdata in uv.lock."
        )
        self._alarm("ZonesDiffer", differ, over=0, advice=advice)
        self._graph("Zones", [differ], [])

    def _watch_rows(self) -> None:
        """Rows that jobs could not process: a fault in our code or data, which one person waits for."""
        skipped: list[cloudwatch.IMetric] = []
        for service in ("challenges", "notifications", "proofs"):
            metric = cloudwatch.Metric(
                namespace=self._namespace,
                metric_name="RowsSkipped",
                dimensions_map={"service": service},
                period=PERIOD,
                statistic="Sum",
            )
            advice = f"A job of {service} skipped a broken row. See row_skipped in its log; the next run tries again."
            self._alarm(f"RowsSkipped{service.title()}", metric, over=0, advice=advice)
            skipped.append(metric)
        self._graph("Rows skipped by jobs", skipped, [])

    def _watch_schema(self) -> None:
        undeclared = cloudwatch.Metric(
            namespace=self._namespace,
            metric_name="UndeclaredSqlObjects",
            dimensions_map={"service": "migrations"},
            period=PERIOD,
            statistic="Maximum",
        )
        advice = (
            "The database has functions, views, triggers or policies that no file declares: left over, or made by hand."
            " The log of migrations names them (undeclared_sql_objects); drop them in a file of their context."
        )
        self._alarm("UndeclaredSqlObjects", undeclared, over=0, advice=advice)

    def _watch_reminders(self) -> None:
        lateness, wrong = (
            cloudwatch.Metric(
                namespace=self._namespace,
                metric_name=name,
                dimensions_map={"service": "notifications"},
                period=PERIOD,
                statistic="Maximum",
            )
            for name in ("ReminderLateness", "RemindersWrong")
        )
        advice = (
            "Reminders are over 90 seconds late or missing. Check that the job reminders runs and finishes in time."
        )
        # every run reports it, so missing data means that the job does not run
        self._alarm("ReminderLateness", lateness, over=90, advice=advice, missing_is_ok=False)
        self._graph("Reminders", [lateness], [wrong])

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        *,
        over: float | None = None,
        under: float = 0,
        advice: str,
        periods: int = 1,
        missing_is_ok: bool = True,
    ) -> None:
        operator, missing = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_description=advice,
            metric=metric,
            threshold=under if over is None else over,
            comparison_operator=operator.LESS_THAN_THRESHOLD if over is None else operator.GREATER_THAN_THRESHOLD,
            evaluation_periods=periods,
            # no requests, no errors
            treat_missing_data=missing.NOT_BREACHING if missing_is_ok else missing.BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self._topic))

    def _graph(self, title: str, left: list[cloudwatch.IMetric], right: list[cloudwatch.IMetric]) -> None:
        self._dashboard.add_widgets(cloudwatch.GraphWidget(title=title, width=24, height=6, left=left, right=right))


def _name(watched: IConstruct) -> str:
    """Return the name of a construct in alarms: its path below the stack."""
    return "".join(watched.node.path.split("/")[1:])
