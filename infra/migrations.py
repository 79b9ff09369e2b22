"""Migrations: the schema, brought up to date by each deploy before anything that needs it."""

from aws_cdk import Duration, triggers
from constructs import Construct

from infra.function import Function, FunctionDefaults


class Migrations(Construct):
    """The function and the trigger that runs it.

    The trigger fires when the function's version changes. All functions are one asset, so that is whenever any code
    did; the function finds nothing to do when no migration is new.
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
