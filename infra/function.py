"""The house Lambda: every function of Chally is one of these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Acknowledgment, Duration, Size, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import names
from infra.network import Network
from infra.settings import Settings

# Lambda shares out CPU by memory; at this size a function has one whole vCPU
# (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
ONE_VCPU = 1769

# What Lambda needs to put a function into a VPC. Most of these actions know no resources
# (https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions).
VPC_ACTIONS = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)


@dataclass(frozen=True, kw_only=True)
class House:
    """What the functions of one stage share."""

    settings: Settings
    code: lambda_.Code
    layers: Mapping[str, lambda_.ILayerVersion]
    public_url: str
    network: Network | None
    failures: sqs.IQueue
    """Takes what was invoked asynchronously and failed for good."""
    scheduler: iam.IRole
    """What EventBridge Scheduler acts as."""


class Function(Construct):
    """A Python 3.13 arm64 Lambda with a JSON log, its own role and SnapStart behind the alias `live`.

    The role may write the function's own log, and be in the VPC; `infra.backend` adds all else. Whatever invokes the
    function invokes `alias`, which a deploy moves to the new version once that is published.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        house: House,
        name: str,
        handler: str,
        timeout: Duration,
        memory: int = ONE_VCPU,
        layers: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        security_group: ec2.ISecurityGroup | None = None,
        snap_start: bool = True,
        disk: Size | None = None,
    ) -> None:
        """`name` is the suffix of the function's name; `layers` are those it needs besides core and vendor.
        `snap_start` is off for what runs once a deploy: the snapshot takes minutes, the cold start it saves seconds.
        `disk` is how large /tmp is, where that is more than the usual 512 MiB; then there can be no `snap_start`.
        """
        super().__init__(scope, construct_id)
        self.house = house
        self.timeout = timeout
        self.function_name = names.function(house.settings.stage, name)
        self.log_group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{self.function_name}",
            retention=house.settings.log_retention,
            removal_policy=house.settings.removal_policy,
        )
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.allow("logs:CreateLogStream", "logs:PutLogEvents", on=[self.log_group.log_group_arn])
        network = house.network
        if network:
            self._allow_vpc()
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=self.function_name,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            code=house.code,
            handler=handler,
            layers=[house.layers[layer] for layer in ("core", "vendor", *layers)],
            timeout=timeout,
            memory_size=memory,
            ephemeral_storage_size=disk,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if snap_start else None,
            role=self.role,
            vpc=network.vpc if network else None,
            vpc_subnets=network.functions_subnets if network else None,
            security_groups=[security_group or network.functions] if network else None,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            system_log_level_v2=lambda_.SystemLogLevel.WARN,
            environment={
                "CHALLY_STAGE": house.settings.stage,
                "CHALLY_VERSION": house.settings.version,
                "CHALLY_COMMIT": house.settings.commit,
                "CHALLY_PUBLIC_URL": house.public_url,
                "POWERTOOLS_SERVICE_NAME": handler.split(".", maxsplit=1)[0],
                "POWERTOOLS_METRICS_NAMESPACE": house.settings.metrics_namespace,
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **(environment or {}),
            },
        )
        Validations.of(self.function).acknowledge(
            Acknowledgment(
                id="Annotation::@aws-cdk/aws-lambda:snapStartRequirePublish",
                reason="The next line publishes a version.",
            ),
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-L1",
                reason="Chally is written for, tested on and locked to Python 3.13, which Lambda supports until 2029.",
            ),
        )
        self.alias = lambda_.Alias(self, "Live", alias_name="live", version=self.function.current_version)

    def allow(self, *actions: str, on: Sequence[str], when: Mapping[str, Mapping[str, object]] | None = None) -> None:
        """Let the function do `actions` on the resources with the ARNs `on`, `when` these conditions hold."""
        statement = iam.PolicyStatement(actions=list(actions), resources=list(on), conditions=when)
        self.role.add_to_principal_policy(statement)

    def tell(self, **environment: str) -> None:
        """Add to the function's environment."""
        for name, value in environment.items():
            self.function.add_environment(name, value)

    def every(self, rate: Duration) -> None:
        """Invoke the function at this rate, asynchronously. It is idempotent and its next run makes up for a lost one:
        two more attempts, and then the house keeps the event in `failures`.
        """
        scheduler.Schedule(
            self,
            "Schedule",
            schedule_name=self.function_name,
            schedule=scheduler.ScheduleExpression.rate(rate),
            target=targets.LambdaInvoke(
                self.alias,
                role=self.house.scheduler,
                dead_letter_queue=self.house.failures,
                retry_attempts=2,
                max_event_age=Duration.hours(1),
            ),
        )
        asynchronous = lambda_.CfnEventInvokeConfig(
            self,
            "Asynchronous",
            function_name=self.function.function_name,
            qualifier=self.alias.alias_name,
            maximum_retry_attempts=2,
            maximum_event_age_in_seconds=3600,
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=self.house.failures.queue_arn)
            ),
        )
        asynchronous.node.add_dependency(self.alias)

    def _allow_vpc(self) -> None:
        """Lambda acts as the function's role to make its network interface; the function's code has no use for that."""
        self.allow(*VPC_ACTIONS, on=["*"])
        Validations.of(self.role).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-IAM5[Resource::*]",
                reason="Lambda makes a network interface whose id nobody knows before, by actions that mostly know no "
                "resources; the function's own code is denied them.",
            )
        )
        arn = Stack.of(self).format_arn(service="lambda", resource="function", resource_name=self.function_name)
        self.role.add_to_principal_policy(
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                actions=list(VPC_ACTIONS),
                resources=["*"],
                conditions={"ArnEquals": {"lambda:SourceFunctionArn": arn}},
            )
        )
