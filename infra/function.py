"""The construct that declares a function of Chally. `infra.backend` derives the rest from these declarations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

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
from infra.settings import StageSettings

# Lambda allots CPU in proportion to memory; at this size a function has one whole vCPU
# (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
ONE_VCPU = 1769

# Lambda needs these to attach a function to a VPC. Most of them do not support resource-level permissions
# (https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions).
VPC_ACTIONS = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)


type Role = Literal["chally_app", "chally_system"]
"""A database role: `chally_app` is bound by row-level security, `chally_system` serves jobs."""


@dataclass(frozen=True, kw_only=True)
class FunctionDefaults:
    """Settings and resources that all functions of a stage share."""

    settings: StageSettings
    code: lambda_.Code
    layers: Mapping[str, lambda_.ILayerVersion]
    public_url: str
    network: Network | None
    failures: sqs.IQueue
    """Receives the events of asynchronous invocations that failed every attempt."""
    scheduler: iam.IRole
    """The role that EventBridge Scheduler assumes."""
    declared: "list[Function]" = field(default_factory=list)
    """Every function of the stage, in the order of declaration."""


class Function(Construct):
    """A Python 3.13 arm64 Lambda function with a JSON log, its own role and an alias `live`.

    Everything about a function is declared here once. From the list of them `infra.backend` derives the
    database connections, the scheduler's rights, the deployment order, outputs and alarms. The role may write to
    the function's log and attach to the VPC; every right on another construct's resource is granted in
    `infra.backend`. Callers invoke `alias`, which a deploy points at the new version once it is published.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        defaults: FunctionDefaults,
        name: str,
        handler: str,
        timeout: Duration,
        connects_as: Sequence[Role] = (),
        schedule: Duration | None = None,
        memory: int = ONE_VCPU,
        layers: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        security_group: ec2.ISecurityGroup | None = None,
        snap_start: bool = False,
        disk: Size | None = None,
    ) -> None:
        """Declare a function.

        `name` is the suffix of its name in AWS, and in CamelCase of its stack output (`proof-verdicts` →
        `ProofVerdictsFunctionName`). `handler` is `<context>.<module>.<function>`. `schedule` is the rate of its
        schedule, if it has one. `layers` are those it needs besides core and vendor. `snap_start` suits functions that
        a person or a queue waits for; for the others the snapshot costs minutes of every deploy. `disk` is the size of
        /tmp if more than 512 MiB is needed; AWS does not allow it together with `snap_start`.
        """
        super().__init__(scope, construct_id)
        self.defaults = defaults
        self.name = name
        self.timeout = timeout
        self.connects_as = tuple(connects_as)
        self.schedule = schedule
        self.function_name = names.function(defaults.settings.stage, name)
        self.log_group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{self.function_name}",
            retention=defaults.settings.log_retention,
            removal_policy=defaults.settings.removal_policy,
        )
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.allow("logs:CreateLogStream", "logs:PutLogEvents", resources=[self.log_group.log_group_arn])
        network = defaults.network
        if network:
            self._allow_vpc()
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=self.function_name,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            code=defaults.code,
            handler=handler,
            layers=[defaults.layers[layer] for layer in ("core", "vendor", *layers)],
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
                "CHALLY_STAGE": defaults.settings.stage,
                "CHALLY_VERSION": defaults.settings.version,
                "CHALLY_COMMIT": defaults.settings.commit,
                "CHALLY_PUBLIC_URL": defaults.public_url,
                "POWERTOOLS_SERVICE_NAME": handler.split(".", maxsplit=1)[0],
                "POWERTOOLS_METRICS_NAMESPACE": defaults.settings.metrics_namespace,
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **(environment or {}),
            },
        )
        Validations.of(self.function).acknowledge(
            Acknowledgment(
                id="Annotation::@aws-cdk/aws-lambda:snapStartRequirePublish",
                reason="The alias below publishes a version.",
            ),
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-L1",
                reason="Chally is written for, tested on and locked to Python 3.13, which Lambda supports until 2029.",
            ),
        )
        self.alias = lambda_.Alias(self, "Live", alias_name="live", version=self.function.current_version)
        if schedule:
            self._invoke_every(schedule)
        defaults.declared.append(self)

    @property
    def output_name(self) -> str:
        """The name in CamelCase, as outputs of the stack begin."""
        return self.name.title().replace("-", "")

    def allow(
        self, *actions: str, resources: Sequence[str], conditions: Mapping[str, Mapping[str, object]] | None = None
    ) -> None:
        """Allow the function these actions on the resources with these ARNs."""
        self.role.add_to_principal_policy(
            iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
        )

    def add_environment(self, **variables: str) -> None:
        """Add variables to the function's environment."""
        for name, value in variables.items():
            self.function.add_environment(name, value)

    def _invoke_every(self, rate: Duration) -> None:
        """Invoke the function at this rate, asynchronously.

        Scheduled functions are idempotent, and the next run makes up for a lost one. So a failed run is attempted
        twice more, and then its event goes to the queue `failures`.
        """
        failures = self.defaults.failures
        scheduler.Schedule(
            self,
            "Schedule",
            schedule_name=self.function_name,
            schedule=scheduler.ScheduleExpression.rate(rate),
            target=targets.LambdaInvoke(
                self.alias,
                role=self.defaults.scheduler,
                dead_letter_queue=failures,
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
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=failures.queue_arn)
            ),
        )
        asynchronous.node.add_dependency(self.alias)
        self.allow("sqs:SendMessage", resources=[failures.queue_arn])

    def _allow_vpc(self) -> None:
        """Allow Lambda, which acts as this role, to make a network interface, and deny that to the function's code."""
        self.allow(*VPC_ACTIONS, resources=["*"])
        Validations.of(self.role).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-IAM5[Resource::*]",
                reason="Lambda chooses the id of the network interface, and most of these actions do not support "
                "resource-level permissions; the function's own code is denied them.",
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
