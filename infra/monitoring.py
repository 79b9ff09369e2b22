"""What wakes somebody up, and what they look at then."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as apigwv2
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.database import RdsDatabase
from infra.function import Function
from infra.queues import WorkQueue
from infra.settings import DatabaseInstance, Settings

FIVE_MINUTES = Duration.minutes(5)
HALF_AN_HOUR = 6  # periods of five minutes
GIB = 1024**3


class Monitoring(Construct):
    """Alarms to a topic, and a dashboard. Each alarm's description says what to do about it."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(self, "Alarms", enforce_ssl=True)
        if settings.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(settings.alarm_email))
        self.dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=settings.name, default_interval=Duration.hours(12)
        )

    def watch_api(self, api: apigwv2.HttpApi) -> None:
        errors = api.metric_server_error(period=FIVE_MINUTES, statistic="Sum")
        latency = api.metric_latency(period=FIVE_MINUTES, statistic="p95")
        self._alarm("Api5xx", errors, over=4, description="The API fails: see the access log by status.")
        self._alarm("ApiLatency", latency, over=1000, periods=3, description="The API's p95 is over a second.")
        requests = api.metric_count(period=FIVE_MINUTES, statistic="Sum")
        self._row("API", [requests, api.metric_client_error(period=FIVE_MINUTES), errors], [latency])

    def watch_functions(self, functions: Sequence[Function]) -> None:
        for watched in functions:
            name = watched.node.path.split("/", maxsplit=1)[1].replace("/", "")
            function = watched.function
            self._alarm(
                f"{name}Errors",
                function.metric_errors(period=FIVE_MINUTES),
                over=0,
                description=f"{watched.function_name} raised: its log group says what.",
            )
            self._alarm(
                f"{name}Throttles",
                function.metric_throttles(period=FIVE_MINUTES),
                over=0,
                description=f"{watched.function_name} was throttled: the account is out of concurrency.",
            )
        each = [watched.function for watched in functions]
        self._row(
            "Functions",
            [function.metric_errors(period=FIVE_MINUTES) for function in each],
            [function.metric_duration(period=FIVE_MINUTES, statistic="p95") for function in each],
        )

    def watch_queues(self, queues: Sequence[WorkQueue], dead_letters: Sequence[sqs.IQueue]) -> None:
        for queue in dead_letters:
            name = queue.node.path.split("/", maxsplit=1)[1].replace("/", "")
            self._alarm(
                f"{name}NotEmpty",
                queue.metric_approximate_number_of_messages_visible(period=FIVE_MINUTES, statistic="Maximum"),
                over=0,
                description="Work failed for good: read the messages, mend the cause, and redrive them.",
            )
        ages = [
            watched.queue.metric_approximate_age_of_oldest_message(period=FIVE_MINUTES, statistic="Maximum")
            for watched in queues
        ]
        for watched, age in zip(queues, ages, strict=True):
            name = watched.node.path.split("/", maxsplit=1)[1].replace("/", "")
            self._alarm(
                f"{name}Late", age, over=900, description="Work has waited a quarter of an hour: is its function stuck?"
            )
        self._row(
            "Queues",
            ages,
            [queue.metric_approximate_number_of_messages_visible(period=FIVE_MINUTES) for queue in dead_letters],
        )

    def watch_database(self, database: RdsDatabase, *, instance: DatabaseInstance) -> None:
        cpu = database.instance.metric_cpu_utilization(period=FIVE_MINUTES)
        connections = database.instance.metric_database_connections(period=FIVE_MINUTES, statistic="Maximum")
        storage = database.instance.metric_free_storage_space(period=FIVE_MINUTES, statistic="Minimum")
        pinned = cloudwatch.Metric(
            namespace="AWS/RDS",
            metric_name="DatabaseConnectionsCurrentlySessionPinned",
            dimensions_map={"ProxyName": database.proxy.db_proxy_name},
            period=FIVE_MINUTES,
            statistic="Maximum",
        )
        self._alarm(
            "DatabaseCpu", cpu, over=80, periods=3, description="The database is busy: Database Insights says with what."
        )
        self._alarm(
            "DatabaseConnections",
            connections,
            over=0.8 * instance.max_connections,
            description="Connections run out: does something pin the proxy, or hold transactions open?",
        )
        cloudwatch.Alarm(
            self,
            "DatabaseStorage",
            metric=storage,
            threshold=0.1 * instance.storage * GIB,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            evaluation_periods=1,
            alarm_description="A tenth of the storage is left, and autoscaling has not helped: raise max_storage.",
        ).add_alarm_action(actions.SnsAction(self.topic))
        self._alarm(
            "DatabasePinned",
            pinned,
            over=0,
            periods=3,
            description="Sessions pin the proxy: look for SET outside a transaction, or named prepared statements.",
        )
        self._row("Database", [cpu, connections, pinned], [storage])

    def _alarm(
        self, name: str, metric: cloudwatch.IMetric, *, over: float, description: str, periods: int = 1
    ) -> None:
        cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=over,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=periods,
            # no requests, no errors: silence is not an alarm
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=description,
        ).add_alarm_action(actions.SnsAction(self.topic))

    def _row(self, title: str, left: list[cloudwatch.IMetric], right: list[cloudwatch.IMetric]) -> None:
        self.dashboard.add_widgets(
            cloudwatch.GraphWidget(title=title, width=24, height=6, left=left, right=right)
        )
