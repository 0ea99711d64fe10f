"""The command line: python -m deploy.local up | down | status | logs | env | publish."""

import argparse
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.local import stack
from deploy.local.credentials import AIRFLOW_USER, load_credentials
from deploy.local.hub_repository import publish
from deploy.local.programs import AIRFLOW_COMPONENTS
from deploy.local.settings import StackError, mirror_roots, running_settings, stack_paths
from deploy.local.supervisor import log_file, tail
from tasks.errors import HallmarkError

COMPONENTS = ("s3", "hub", "mlflow", *AIRFLOW_COMPONENTS)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="The laptop stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start the components that do not run, and wait until all are ready")
    start.add_argument("--hub", choices=("mirror", "huggingface"), help="where models come from, for this start")
    commands.add_parser("down", help="stop everything")
    commands.add_parser("status", help="show every component")
    commands.add_parser("env", help="print export lines, with credentials, for a shell that uses the stack")
    logs = commands.add_parser("logs", help="show a component's log")
    logs.add_argument("component", choices=COMPONENTS)
    logs.add_argument("-n", type=int, default=50, metavar="LINES")
    logs.add_argument("-f", action="store_true", help="follow the log as it grows")
    new = commands.add_parser("publish", help="publish a folder as the new main of a repository on the Hub mirror")
    new.add_argument("repository", metavar="OWNER/NAME")
    new.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except (HallmarkError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    if options.command == "up":
        began = time.monotonic()
        stack.up(options.hub)
        print(f"The stack is ready ({time.monotonic() - began:.1f} s).\n{addresses()}")
    elif options.command == "down":
        stack.down()
        print("The stack is down.")
    elif options.command == "env":
        for name, value in stack.environment().items():
            print(f"export {name}={shlex.quote(value)}")
    elif options.command == "publish":
        print(publish(mirror_roots(), options.repository, options.folder))
    elif options.command == "logs":
        _follow(log_file(stack_paths(), options.component), options.n, options.f)
    else:
        return _status()
    return 0


def addresses() -> str:
    """Return the addresses and the login. The password is included only on a terminal, because other output is kept."""
    settings, paths = running_settings(), stack_paths()
    password = load_credentials(paths).airflow_password if sys.stdout.isatty() else f"in {paths.passwords}"
    return (
        f"  Airflow  {settings.address('airflow')}   user {AIRFLOW_USER}, password {password}\n"
        f"  MLflow   {settings.address('mlflow')}/#/models\n"
        f"  logs     {stack_paths().logs}"
    )


def _status() -> int:
    rows = stack.status()
    print(f"{'component':<22} {'address':<24} {'pid':>8} {'memory':>8}  state")
    for row in rows:
        memory = f"{row.memory_bytes / 2**20:.0f} MiB" if row.pid else ""
        print(f"{row.name:<22} {row.address:<24} {row.pid or '':>8} {memory:>8}  {row.state}")
    print(f"{'':<22} {'':<24} {'':>8} {sum(row.memory_bytes for row in rows) / 2**20:.0f} MiB in all")
    return 0 if all(row.state == "ready" for row in rows) else 1


def _follow(log: Path, lines: int, on: bool) -> None:
    if not log.exists():
        raise StackError(f"There is no log {log}, because the component was never started; run: make up")
    print(tail(log, lines))
    for text in _grown(log) if on else ():
        print(text, end="", flush=True)


def _grown(log: Path) -> Iterator[str]:
    with log.open(encoding="utf-8", errors="replace") as file:
        file.seek(0, 2)
        while True:
            yield file.read()
            time.sleep(0.3)


if __name__ == "__main__":
    sys.exit(main())
