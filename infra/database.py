"""Postgres, and the roles that functions connect as."""

from typing import Protocol

from aws_cdk import Acknowledgment, ArnFormat, Duration, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra.function import Function, Role
from infra.network import Network
from infra.settings import DatabaseInstance, DatabaseUrls, StageSettings

ROLES: tuple[Role, ...] = ("chally_app", "chally_system")
NAME = "chally"
PORT = 5432
LOGS = ("postgresql", "upgrade", "iam-db-auth-error")


class Database(Protocol):
    """A database. Each method grants a function a connection and sets its environment for that."""

    def grant_connect(self, function: Function, *roles: Role) -> None:
        """Allow `function` to connect as each of `roles`."""

    def grant_administrator(self, function: Function) -> None:
        """Allow `function` to connect as the administrator, to migrate."""


class LocalDatabase:
    """An existing Postgres. A function that has a role's URL can connect as that role."""

    def __init__(self, *, urls: DatabaseUrls) -> None:
        self._urls = urls

    def grant_connect(self, function: Function, *roles: Role) -> None:
        if "chally_app" in roles:
            function.add_environment(CHALLY_DATABASE_APP_URL=self._urls.app)
        if "chally_system" in roles:
            function.add_environment(CHALLY_DATABASE_SYSTEM_URL=self._urls.system)

    def grant_administrator(self, function: Function) -> None:
        function.add_environment(CHALLY_DATABASE_OWNER_URL=self._urls.owner)


class RdsDatabase(Construct):
    """RDS Postgres behind RDS Proxy.

    Only the administrator has a password, which RDS creates and rotates. Functions sign in to the proxy with IAM
    tokens, and the proxy to the instance (end-to-end IAM), so a database role is granted, never shared as a secret.

    Before the first deploy, check that RDS Proxy supports Postgres 18 in your region:
    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.RDS_Fea_Regions_DB-eng.Feature.RDSProxy.html
    It was not verified here; the production runbook of github.com/mamsterla/wallyanalyzer reports 18.3 behind a proxy.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: StageSettings, size: DatabaseInstance, network: Network
    ) -> None:
        super().__init__(scope, construct_id)
        self.size = size
        self.instance = self._instance(settings, network)
        self.proxy = self._proxy(settings, network)
        # the proxy connects to the instance as the functions' roles, so migrations must have created them
        targets = self.proxy.node.find_child("ProxyTargetGroup")
        assert isinstance(targets, rds.CfnDBProxyTargetGroup)
        self.proxy_targets = targets
        self.instance.connections.allow_default_port_from(network.migrations, "Migrations")
        self.proxy.connections.allow_from(network.functions, ec2.Port.tcp(PORT), "Functions")

    def grant_connect(self, function: Function, *roles: Role) -> None:
        self._set_address(function, host=self.proxy.endpoint)
        proxy = Stack.of(self).split_arn(self.proxy.db_proxy_arn, ArnFormat.COLON_RESOURCE_NAME)
        function.allow("rds-db:connect", resources=[self._user(proxy.resource_name or "", role) for role in roles])

    def grant_administrator(self, function: Function) -> None:
        # directly to the instance: migrations take session locks, which would pin the proxy
        self._set_address(function, host=self.instance.db_instance_endpoint_address)
        assert self.instance.secret
        function.add_environment(CHALLY_DATABASE_SECRET_ARN=self.instance.secret.secret_arn)
        function.allow("secretsmanager:GetSecretValue", resources=[self.instance.secret.secret_arn])

    def _set_address(self, function: Function, *, host: str) -> None:
        function.add_environment(CHALLY_DATABASE_HOST=host, CHALLY_DATABASE_PORT=str(PORT), CHALLY_DATABASE_NAME=NAME)

    def _user(self, resource_id: str, role: Role) -> str:
        return Stack.of(self).format_arn(
            service="rds-db",
            resource="dbuser",
            resource_name=f"{resource_id}/{role}",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )

    def _instance(self, settings: StageSettings, network: Network) -> rds.DatabaseInstance:
        # RDS would create these log groups itself and never delete their events
        log_groups = [
            logs.LogGroup(
                self,
                f"Logs-{log}",
                log_group_name=f"/aws/rds/instance/{settings.name}/{log}",
                retention=settings.log_retention,
                removal_policy=settings.removal_policy,
            )
            for log in LOGS
        ]
        size = self.size
        engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_18_3)
        database = rds.DatabaseInstance(
            self,
            "Instance",
            instance_identifier=settings.name,
            engine=engine,
            instance_type=ec2.InstanceType(size.instance_type),
            vpc=network.vpc,
            vpc_subnets=network.database_subnets,
            publicly_accessible=False,
            multi_az=size.multi_az,
            database_name=NAME,
            port=PORT,
            credentials=rds.Credentials.from_username("chally_admin"),
            manage_master_user_password=True,
            iam_authentication=True,
            storage_encrypted=True,
            storage_type=rds.StorageType.GP3,
            allocated_storage=size.storage,
            max_allocated_storage=size.max_storage,
            # point-in-time recovery to any second of these days
            backup_retention=Duration.days(size.backup_days),
            delete_automated_backups=not size.deletion_protection,
            deletion_protection=size.deletion_protection,
            removal_policy=settings.removal_policy,
            auto_minor_version_upgrade=True,
            database_insights_mode=rds.DatabaseInsightsMode.STANDARD,
            enable_performance_insights=True,
            cloudwatch_logs_exports=list(LOGS),
            parameter_group=rds.ParameterGroup(
                self,
                "Parameters",
                engine=engine,
                parameters={
                    "rds.force_ssl": "1",
                    "log_min_duration_statement": "500",  # ms
                    # parameters contain addresses, password hashes and mail tokens
                    "log_parameter_max_length": "0",
                    "log_parameter_max_length_on_error": "0",
                    "log_lock_waits": "1",
                },
            ),
        )
        database.node.add_dependency(*log_groups)
        Validations.of(database).acknowledge(
            Acknowledgment(
                id="AwsSolutions::AwsSolutions-RDS11",
                reason="Security groups admit only the proxy and migrations, and no route leads to the instance from "
                "outside, so another port would add nothing.",
            )
        )
        if not size.multi_az:
            Validations.of(database).acknowledge(
                Acknowledgment(
                    id="AwsSolutions::AwsSolutions-RDS3",
                    reason="Staging may be unavailable for the minutes that restoring a single-zone instance takes.",
                )
            )
        if not size.deletion_protection:
            Validations.of(database).acknowledge(
                Acknowledgment(
                    id="AwsSolutions::AwsSolutions-RDS10",
                    reason="Staging holds no real data and is meant to be deleted and created again.",
                )
            )
        return database

    def _proxy(self, settings: StageSettings, network: Network) -> rds.DatabaseProxy:
        log_group = logs.LogGroup(
            self,
            "ProxyLogs",
            log_group_name=f"/aws/rds/proxy/{settings.name}",
            retention=settings.log_retention,
            removal_policy=settings.removal_policy,
        )
        role = iam.Role(self, "ProxyRole", assumed_by=iam.ServicePrincipal("rds.amazonaws.com"))
        resource_id = self.instance.instance_resource_id
        assert resource_id
        role.add_to_policy(
            iam.PolicyStatement(actions=["rds-db:connect"], resources=[self._user(resource_id, user) for user in ROLES])
        )
        proxy = rds.DatabaseProxy(
            self,
            "Proxy",
            db_proxy_name=settings.name,
            proxy_target=rds.ProxyTarget.from_instance(self.instance),
            vpc=network.vpc,
            vpc_subnets=network.database_subnets,
            role=role,
            default_auth_scheme=rds.DefaultAuthScheme.IAM_AUTH,
            require_tls=True,
            # migrations and people need the other tenth of the connections
            max_connections_percent=90,
            # an HTTP function ends after 15 seconds: a quick 503 is better than a queue
            borrow_timeout=Duration.seconds(5),
        )
        proxy.node.add_dependency(log_group)
        return proxy
