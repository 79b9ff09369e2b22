"""`python -m infra.local <command>`: what the Makefile's targets run."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from infra.bootstrap import IMPORT_PATH, PYTHON, ROOT, environment
from infra.local import system
from infra.local.progress import LocalError, Palette, Steps
from infra.local.workspace import Workspace

# What one command needs is imported in it: `make up` that finds all in place should take a second.


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments) or 0)
    except LocalError as error:
        red = Palette(sys.stderr)
        print(f"\n{red.paint(31, error.problem)}\n{error.fix}".rstrip(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What was done is kept; run it again to go on.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, `head` say, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _up(arguments: argparse.Namespace) -> None:
    steps = Steps()
    workspace = _workspace(arguments)
    outputs = system.up(workspace, steps)
    _print_urls(workspace, outputs, steps)


def _demo(arguments: argparse.Namespace) -> None:
    from infra.local import story

    photo = story.read_photo(arguments.photo)
    steps = Steps()
    workspace = _workspace(arguments)
    outputs = system.up(workspace, steps)
    started = time.monotonic()
    story.play(outputs, photo=photo)
    steps.say(f"\nThe story took {time.monotonic() - started:.1f} s.")
    _print_urls(workspace, outputs, steps)


def _down(arguments: argparse.Namespace) -> None:
    system.down(_workspace(arguments), Steps())


def _reset(arguments: argparse.Namespace) -> None:
    system.reset(_workspace(arguments), Steps())


def _logs(arguments: argparse.Namespace) -> None:
    from infra.local import logs

    logs.show(_workspace(arguments), function=arguments.function, follow=arguments.follow, minutes=arguments.minutes)


def _doctor(arguments: argparse.Namespace) -> int:
    from infra.local import doctor

    return doctor.examine(arguments.directory)


def _invoke(arguments: argparse.Namespace) -> int:
    from infra.local import invocation

    return invocation.invoke(_place(arguments), arguments.function, arguments.payload)


def _role(arguments: argparse.Namespace) -> None:
    from infra.local import invocation

    invocation.set_role(_place(arguments), arguments.email, arguments.role)


def _redrive(arguments: argparse.Namespace) -> None:
    from infra.local import redrive

    redrive.redrive(_place(arguments), arguments.queue)


def _synth(arguments: argparse.Namespace) -> None:
    from infra.local import deployment

    deployment.synth(arguments.stage or ("local", *deployment.CLOUD_STAGES), Steps())


def _deploy(arguments: argparse.Namespace) -> None:
    from infra.local import deployment

    deployment.deploy_to_aws(arguments.stage, Steps())


def _cdk(arguments: argparse.Namespace) -> None:
    from infra.local import deployment

    deployment.cdk_by_hand(arguments.arguments)


def _check(arguments: argparse.Namespace) -> int:
    from infra.local import checks

    return checks.run_all(Steps())


def _test(arguments: argparse.Namespace) -> None:
    # Becomes pytest, so that its output, its colours and its status are its own.
    # The Makefile puts `--` before them, and some releases of argparse pass that on.
    given = arguments.arguments[arguments.arguments[:1] == ["--"] :]
    # One process a core; what is marked as one group (the deployed stack) stays together.
    parallel = ("--numprocesses=auto", "--dist=loadgroup")
    os.execve(PYTHON, [str(PYTHON), "-m", "pytest", *parallel, *given], environment())


def _bench(_: argparse.Namespace) -> int:
    env = environment() | {"PYTHONPATH": IMPORT_PATH}
    names = sorted(path.stem for path in (ROOT / "tests" / "bench").glob("bench_*.py"))
    return max(subprocess.run([PYTHON, "-m", f"tests.bench.{name}"], cwd=ROOT, env=env).returncode for name in names)


def _workspace(arguments: argparse.Namespace) -> Workspace:
    return Workspace.open(arguments.directory, arguments.port, arguments.postgres_port)


def _place(arguments: argparse.Namespace) -> Workspace | str:
    """The local system, or the stage in AWS that was named."""
    return _workspace(arguments) if arguments.stage == "local" else str(arguments.stage)


def _print_urls(workspace: Workspace, outputs: dict[str, str], steps: Steps) -> None:
    bold = Palette(sys.stdout)
    names = {"api_url": "API", "docs_url": "Docs", "mailbox_url": "Mailbox", "aws_url": "Local AWS"}
    steps.say(f"\nUp in {steps.total():.1f} s. It goes on running; {workspace.make('down')} stops it.\n")
    for key, name in names.items():
        steps.say(f"  {name:<10} {bold.paint(1, outputs[key])}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--directory", type=Path, default=ROOT / ".local", help="where the system lives (.local)")
    place.add_argument("--port", type=int, help="of the local AWS (4566; 0 for a free one)")
    place.add_argument("--postgres-port", type=int, help="of Postgres (a free one)")

    commands.add_parser("up", parents=[place], help="start the system, or bring it up to date").set_defaults(run=_up)
    demo = commands.add_parser("demo", parents=[place], help="up, then one proof from phone to verdict")
    demo.add_argument("--photo", type=Path, help="a picture of your own")
    demo.set_defaults(run=_demo)
    commands.add_parser("down", parents=[place], help="stop it, keep the data").set_defaults(run=_down)
    commands.add_parser("reset", parents=[place], help="stop it, delete the data").set_defaults(run=_reset)
    logs = commands.add_parser("logs", parents=[place], help="what functions and servers logged")
    logs.add_argument("function", nargs="?", help="only this one, by the suffix of its name")
    logs.add_argument("--follow", action="store_true", help="go on with what is logged from now on")
    logs.add_argument("--minutes", type=float, default=10, help="how far back (10)")
    logs.set_defaults(run=_logs)
    commands.add_parser("doctor", parents=[place], help="what is missing, and how to fix it").set_defaults(run=_doctor)
    invoke = commands.add_parser("invoke", parents=[place], help="run a function as its schedule would")
    invoke.add_argument("function", help="the suffix of its name, as challenge-windows")
    invoke.add_argument("--payload", type=json.loads, default={}, help="the event, as JSON")
    invoke.add_argument("--stage", default="local", help="where: local, or a stage in AWS")
    invoke.set_defaults(run=_invoke)
    role = commands.add_parser("role", parents=[place], help="give somebody a role")
    role.add_argument("email", help="the mail address they signed up with")
    role.add_argument("role", choices=("user", "moderator", "admin"))
    role.add_argument("--stage", default="local", help="where: local, or a stage in AWS")
    role.set_defaults(run=_role)

    redrive = commands.add_parser("redrive", parents=[place], help="send a queue's dead letters again")
    redrive.add_argument("queue", choices=("verdicts", "outbox"))
    redrive.add_argument("--stage", default="local", help="where: local, or a stage in AWS")
    redrive.set_defaults(run=_redrive)

    synth = commands.add_parser("synth", help="synthesise stages into cdk.out/<stage>")
    synth.add_argument("stage", nargs="*", help="default: all")
    synth.set_defaults(run=_synth)
    deploy = commands.add_parser("deploy", help="deploy a stage to AWS")
    deploy.add_argument("stage")
    deploy.set_defaults(run=_deploy)
    cdk = commands.add_parser("cdk", help="the pinned cdk CLI, as it is")
    cdk.add_argument("arguments", nargs=argparse.REMAINDER)
    cdk.set_defaults(run=_cdk)
    test = commands.add_parser("test", help="pytest, with the project's tools on PATH")
    test.add_argument("arguments", nargs=argparse.REMAINDER)
    test.set_defaults(run=_test)
    commands.add_parser("bench", help="the measurements in tests/bench").set_defaults(run=_bench)
    commands.add_parser("check", help="every linter and type check").set_defaults(run=_check)
    return parser


if __name__ == "__main__":
    sys.exit(main())
