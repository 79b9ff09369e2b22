"""Migrations: each deploy updates the schema before the functions that need it."""

from aws_cdk import Duration, triggers
from constructs import Construct

from infra.function import Function, FunctionDefaults


class Migrations(Construct):
    """The function and the trigger that runs it.

    The trigger fires when the function's version changes. All functions share one asset, so any change of code fires
    it; without a new migration or a changed SQL file the function changes nothing.
    """

    def __init__(self, scope: Construct, construct_id: str, *, defaults: FunctionDefaults) -> None:
        super().__init__(scope, construct_id)
        self.function = Function(
            self,
            "Function",
            defaults=defaults,
            name="migrations",
            handler="migrations.handler.handler",
            timeout=Duration.minutes(10),
            layers=["migrations"],
            security_group=defaults.network.migrations if defaults.network else None,
        )
        self.trigger = triggers.Trigger(self, "Run", handler=self.function.function, timeout=Duration.minutes(10))
