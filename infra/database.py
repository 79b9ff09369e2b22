"""Postgres, and who may connect to it as whom."""

from typing import Literal, Protocol

from aws_cdk import ArnFormat, Duration, Fn, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra.function import Function
from infra.network import POSTGRES, Network
from infra.settings import AwsSettings, DatabaseUrls

type Role = Literal["chally_app", "chally_system"]

NAME = "chally"
LOGS = ("postgresql", "upgrade", "iam-db-auth-error")


class Database(Protocol):
    """Where the schema lives. Each method tells a function how to connect, and lets it."""

    def admit(self, function: Function, *roles: Role) -> None:
        """Let `function` connect as each of `roles`, and as nobody else."""

    def admit_owner(self, function: Function) -> None:
        """Let `function` connect as the administrator, to migrate."""


class LocalDatabase(Database):
    """A Postgres that is there already. Who holds a role's URL may connect as that role."""

    def __init__(self, *, urls: DatabaseUrls) -> None:
        self._urls = urls

    def admit(self, function: Function, *roles: Role) -> None:
        for role in roles:
            if role == "chally_app":
                function.tell(CHALLY_DATABASE_APP_URL=self._urls.app)
            else:
                function.tell(CHALLY_DATABASE_SYSTEM_URL=self._urls.system)

    def admit_owner(self, function: Function) -> None:
        function.tell(CHALLY_DATABASE_OWNER_URL=self._urls.owner)


class RdsDatabase(Construct, Database):
    """RDS Postgres behind RDS Proxy.

    Nobody has a password but the administrator, whose secret RDS makes and rotates. Functions sign in to the proxy
    with IAM tokens, and the proxy to the instance (end-to-end IAM), so a role is a grant and never a secret.
    """
