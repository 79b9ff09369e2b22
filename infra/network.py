"""The VPC of staging and prod, without a route to or from the internet."""

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.settings import StageSettings


class Network(Construct):
    """Two zones, each with a subnet for functions and one for the database, and endpoints for the AWS services in use.

    Interface endpoints rather than NAT gateways: functions call four AWS services only, so a stolen token or photo has
    no route out. An endpoint in one zone costs about $7 a month, a NAT gateway $32; three services in two zones cost
    $44 rather than $64. A function that has to call the internet belongs in another subnet with a NAT gateway.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: StageSettings) -> None:
        super().__init__(scope, construct_id)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            # a template that is not bound to an account can only rely on two zones
            max_azs=2,
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Functions", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=20),
                ec2.SubnetConfiguration(name="Database", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
            ],
        )
        self.functions_subnets = ec2.SubnetSelection(subnet_group_name="Functions")
        self.database_subnets = ec2.SubnetSelection(subnet_group_name="Database")
        self.functions = self._security_group("FunctionsGroup", "Functions, which use the database by its proxy")
        self.migrations = self._security_group("MigrationsGroup", "Migrations, which use the database itself")
        self._endpoints(settings.endpoint_zones)
        self.vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(
                logs.LogGroup(
                    self, "FlowLogs", retention=settings.log_retention, removal_policy=settings.removal_policy
                )
            ),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )

    def _security_group(self, construct_id: str, description: str) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(self, construct_id, vpc=self.vpc, description=description, allow_all_outbound=False)
        group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.HTTPS, "AWS services, by the endpoints of the VPC")
        return group

    def _endpoints(self, zones: int) -> None:
        self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        group = ec2.SecurityGroup(
            self, "EndpointsGroup", vpc=self.vpc, description="AWS services", allow_all_outbound=False
        )
        for source in (self.functions, self.migrations):
            group.add_ingress_rule(source, ec2.Port.HTTPS)
        subnets = self.vpc.select_subnets(subnet_group_name="Functions").subnets[:zones]
        for name, service in {
            "Sqs": ec2.InterfaceVpcEndpointAwsService.SQS,
            "SecretsManager": ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
            "Email": ec2.InterfaceVpcEndpointAwsService.EMAIL,  # the API of SES; its SMTP is EMAIL_SMTP
        }.items():
            self.vpc.add_interface_endpoint(
                name,
                service=service,
                subnets=ec2.SubnetSelection(subnets=subnets),
                security_groups=[group],
                open=False,
            )
