"""Chally's command line: what the Makefile's targets run."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.local.workspace import Workspace
from infra.tools.bootstrap import ROOT
from infra.tools.process import ToolError
from infra.tools.progress import Steps

# Modules that only one command needs are imported inside it: `make up` should take a second if everything is running.

ANY_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    try:
        app(args=argv, prog_name="python -m infra.tools")
    except ToolError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"\n{error.problem}", style="red", markup=False)
        console.print(error.fix, markup=False)
        return 1
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            return 0  # the reader, for example `head`, has seen enough
        if end.code == 130:
            print("\nInterrupted. Finished steps are kept; run it again to continue.", file=sys.stderr)
        return int(end.code or 0)
    return 0


class Target:
    """Where a command works: the local system, or a stage in AWS."""

    def __init__(self, stage: str, open_workspace: Callable[[], Workspace]) -> None:
        self.workspace = open_workspace
        self.place = partial(str, stage) if stage != "local" else open_workspace


@app.callback()
def options(
    context: typer.Context,
    directory: Annotated[Path, typer.Option(help="Directory of the local system.")] = ROOT / ".local",
    port: Annotated[int | None, typer.Option(help="Port of the local AWS (4566); 0 picks a free one.")] = None,
    postgres_port: Annotated[int | None, typer.Option(help="Port of Postgres (a free one).")] = None,
    stage: Annotated[str, typer.Option(help="local, or a stage in AWS.")] = "local",
) -> None:
    """Chally's command line: what the Makefile's targets run."""
    context.obj = Target(stage, partial(Workspace.open, directory, port, postgres_port))


@app.command()
def up(context: typer.Context) -> None:
    """Start the local system, or update it."""
    from infra.local import system

    workspace, steps = context.obj.workspace(), Steps()
    _print_urls(workspace, system.up(workspace, steps), steps)


@app.command()
def demo(
    context: typer.Context, photo: Annotated[Path | None, typer.Option(help="A picture of your own.")] = None
) -> None:
    """Start the local system and carry one photo from the phone to its verdict."""
    from infra.local import system
    from infra.tools import story

    picture = story.read_photo(photo)
    workspace, steps = context.obj.workspace(), Steps()
    outputs = system.up(workspace, steps)
    started = time.monotonic()
    story.play(outputs, photo=picture)
    steps.say(f"\nThe story took {time.monotonic() - started:.1f} s.")
    _print_urls(workspace, outputs, steps)


@app.command()
def down(context: typer.Context) -> None:
    """Stop the local system and keep its data."""
    from infra.local import system

    system.down(context.obj.workspace(), Steps())


@app.command()
def reset(context: typer.Context) -> None:
    """Stop the local system and delete its data."""
    from infra.local import system

    system.reset(context.obj.workspace(), Steps())


@app.command()
def logs(
    context: typer.Context,
    function: Annotated[str | None, typer.Argument(help="Only this function, by the suffix of its name.")] = None,
    follow: Annotated[bool, typer.Option(help="Continue with new events.")] = False,
    minutes: Annotated[float, typer.Option(help="How far back to begin.")] = 10,
) -> None:
    """Print the logs of functions and servers."""
    from infra.tools import logs

    logs.show(context.obj.workspace(), function=function, follow=follow, minutes=minutes)


@app.command()
def invoke(
    context: typer.Context,
    function: Annotated[str, typer.Argument(help="The suffix of its name, for example challenge-windows.")],
    payload: Annotated[str, typer.Option(help="The event, as JSON.")] = "{}",
) -> None:
    """Run a function and print its result."""
    from infra.tools import invocation

    raise typer.Exit(invocation.invoke(context.obj.place(), function, json.loads(payload)))


@app.command()
def role(
    context: typer.Context,
    email: Annotated[str, typer.Argument(help="The mail address of the account.")],
    role: Annotated[str, typer.Argument(help="user, moderator or admin.")],
) -> None:
    """Give a person a role."""
    from infra.tools import invocation

    invocation.set_role(context.obj.place(), email, role)


@app.command()
def redrive(context: typer.Context, queue: Annotated[str, typer.Argument(help="verdicts or outbox.")]) -> None:
    """Send the dead letters of a queue again."""
    from infra.tools import redrive

    redrive.redrive(context.obj.place(), queue)


@app.command()
def synth(stages: Annotated[list[str] | None, typer.Argument(help="All by default.")] = None) -> None:
    """Synthesise stages into cdk.out/<stage>."""
    from infra.tools import deploy

    deploy.synth(stages or ("local", *deploy.CLOUD_STAGES), Steps())


@app.command()
def deploy(stage: str) -> None:
    """Deploy a stage to AWS."""
    from infra.tools import deploy

    deploy.deploy(stage, Steps())


@app.command(context_settings=ANY_ARGUMENTS)
def cdk(context: typer.Context) -> None:
    """Run the pinned cdk CLI with these arguments."""
    from infra.tools import deploy

    deploy.replace_with_cdk(context.args)


@app.command()
def check() -> None:
    """Run every linter and type check."""
    from infra.tools import checks

    raise typer.Exit(checks.run_all(Steps()))


def _print_urls(workspace: Workspace, outputs: dict[str, str], steps: Steps) -> None:
    steps.say(f"\nUp in {steps.seconds:.1f} s. It keeps running; {workspace.make('down')} stops it.\n")
    for key, name in {"api_url": "API", "docs_url": "Docs", "mailbox_url": "Mailbox", "aws_url": "Local AWS"}.items():
        steps.console.print(f"  {name:<10} [bold]{outputs[key]}[/]")


if __name__ == "__main__":
    sys.exit(main())
