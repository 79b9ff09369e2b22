"""Migrations: the schema, brought up to date by each deploy before anything that needs it."""

from aws_cdk import Duration, triggers
from constructs import Construct

from infra.function import Function, House


class Migrations(Construct):
    """The function and the trigger that runs it.

    The trigger fires when the function's version changes. All functions are one asset, so that is whenever any code
    did; the function finds nothing to do when no migration is new.
    """

    def __init__(self, scope: Construct, construct_id: str, *, house: House) -> None:
        super().__init__(scope, construct_id)
        self.function = Function(
            self,
            "Function",
            house=house,
            name="migrations",
            handler="migrations.handler.handler",
            timeout=Duration.minutes(10),
            layers=["migrations"],
            security_group=house.network.migrations if house.network else None,
            snap_start=False,
        )
        self.trigger = triggers.Trigger(self, "Run", handler=self.function.function, timeout=Duration.minutes(10))
