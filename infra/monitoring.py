"""What wakes somebody up, and what they look at then."""

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
    """Alarms to a topic, and a dashboard. What an alarm says is what to do about it."""

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

    def _watch_api(self, api: apigwv2.HttpApi) -> None:
        requests = api.metric_count(period=PERIOD, statistic="Sum")
        refusals = api.metric_client_error(period=PERIOD, statistic="Sum")
        errors = api.metric_server_error(period=PERIOD, statistic="Sum")
        latency = api.metric_latency(period=PERIOD, statistic="p95")
        self._alarm("ApiErrors", errors, over=4, advice="The API answers 5xx: the access log says on which routes.")
        self._alarm("ApiLatency", latency, over=1000, periods=3, advice="One in twenty requests takes over a second.")
        self._graph("API", [requests, refusals, errors], [latency])

    def _watch_functions(self, functions: Sequence[Function]) -> None:
        counts: list[cloudwatch.IMetric] = []
        durations: list[cloudwatch.IMetric] = []
        for function in functions:
            errors = function.function.metric_errors(period=PERIOD)
            advice = f"{function.function_name} raised: its log group says what."
            self._alarm(f"{_name(function)}Errors", errors, over=0, advice=advice)
            throttles = function.function.metric_throttles(period=PERIOD)
            advice = f"{function.function_name} was refused a run: the account is out of concurrency."
            self._alarm(f"{_name(function)}Throttles", throttles, over=0, advice=advice)
            counts += [errors, throttles]
            durations.append(function.function.metric_duration(period=PERIOD, statistic="p95"))
        self._graph("Functions", counts, durations)

    def _watch_queues(self, queues: Sequence[WorkQueue], failures: sqs.IQueue) -> None:
        depths: list[cloudwatch.IMetric] = []
        for dead_letters in (*(queue.dead_letters for queue in queues), failures):
            depth = dead_letters.metric_approximate_number_of_messages_visible(period=PERIOD, statistic="Maximum")
            advice = "Work failed for good: read the messages, mend the cause, send them again."
            self._alarm(f"{_name(dead_letters)}NotEmpty", depth, over=0, advice=advice)
            depths.append(depth)
        ages: list[cloudwatch.IMetric] = []
        for queue in queues:
            age = queue.queue.metric_approximate_age_of_oldest_message(period=PERIOD, statistic="Maximum")
            advice = f"Work has waited for a quarter of an hour: is {queue.worker.function_name} stuck?"
            self._alarm(f"{_name(queue)}Late", age, over=900, advice=advice)
            ages.append(age)
        dead = cloudwatch.Metric(
            namespace=self._namespace,
            metric_name="MessagesDead",
            dimensions_map={"service": "notifications"},
            period=PERIOD,
            statistic="Maximum",
        )
        advice = "Mails were given up: core.outbox says why (last_error); mend that and set their attempts to 0."
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
        advice = "The database is busy: Database Insights says with what."
        self._alarm("DatabaseCpu", cpu, over=80, periods=3, advice=advice)
        advice = "Connections run out: what holds transactions open, or pins the proxy?"
        self._alarm("DatabaseConnections", connections, over=0.8 * database.size.max_connections, advice=advice)
        advice = "Storage runs out, and has not grown by itself: raise max_storage."
        self._alarm("DatabaseStorage", storage, under=0.1 * database.size.storage * GIB, advice=advice)
        advice = "Sessions pin the proxy: look for SET outside a transaction, and for named prepared statements."
        self._alarm("DatabasePinned", pinned, over=0, periods=3, advice=advice)
        self._graph("Database", [cpu, connections, pinned], [storage])

    def _watch_keys(self) -> None:
        age = cloudwatch.Metric(
            namespace=self._namespace,
            metric_name="SigningKeyAgeDays",
            dimensions_map={"service": "identity"},
            period=Duration.days(1),  # it is measured once a day
            statistic="Maximum",
        )
        advice = "The signing key is over 100 days old, or identity-keys, which rotates it at 90, does not run."
        # of this one silence is news: a job that has not run for two days lets the key grow old
        self._alarm("SigningKeyAge", age, over=100, advice=advice, periods=2, silence_is_well=False)
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
        advice = "Malware was uploaded, and deleted: proof-verdicts logged which (“malware”). Whose is it, and again?"
        self._alarm("MalwareFound", found, over=0, advice=advice)
        advice = "A proof has waited for its scan for a quarter of an hour: is the protection plan active, is its role "
        advice += (
            "allowed to read? proof-verdicts logged what was “scan_failed”, and why: mend it, and have that scanned "
        )
        advice += "again (aws guardduty send-object-malware-scan)."
        self._alarm("ScanAwaited", awaited, over=900, advice=advice)
        self._graph("Malware", [found], [awaited])

    def _watch_zones(self) -> None:
        differ = cloudwatch.Metric(
            namespace=self._namespace,
            metric_name="ZonesDiffer",
            dimensions_map={"service": "challenges"},
            period=Duration.days(1),  # it is measured once a day
            statistic="Maximum",
        )
        advice = (
            "Postgres and the functions read clocks differently: challenge-nightly logs in which zones. "
            "Bring the older up to date: the minor version of the engine, or tzdata in uv.lock."
        )
        self._alarm("ZonesDiffer", differ, over=0, advice=advice)
        self._graph("Zones", [differ], [])

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
        advice = "Reminders come over 90 seconds late, or not at all: does the job reminders run, and end in time?"
        # every run measures it, so silence is a job that does not run
        self._alarm("ReminderLateness", lateness, over=90, advice=advice, silence_is_well=False)
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
        silence_is_well: bool = True,
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
            # no requests, no errors: silence is no alarm
            treat_missing_data=missing.NOT_BREACHING if silence_is_well else missing.BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self._topic))

    def _graph(self, title: str, left: list[cloudwatch.IMetric], right: list[cloudwatch.IMetric]) -> None:
        self._dashboard.add_widgets(cloudwatch.GraphWidget(title=title, width=24, height=6, left=left, right=right))


def _name(watched: IConstruct) -> str:
    """What an alarm calls a construct: its path below the stack."""
    return "".join(watched.node.path.split("/")[1:])
