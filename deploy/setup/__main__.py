"""The command line of the set-up: `python3 -m deploy.setup {env,lock,audit}`, and a command for each native tool."""

import argparse
import sys
import time

from deploy.setup.audit import EXIT_UNAVAILABLE, Unavailable, audit
from deploy.setup.environments import build_environment, check_python, ensure
from deploy.setup.errors import SetupError
from deploy.setup.locks import lock
from deploy.setup.native import registry
from deploy.setup.runtimes import installed_by, lock_of, names, native_parts
from deploy.setup.steps import report


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m deploy.setup", description="Install what Hallmark runs in.")
    commands = parser.add_subparsers(dest="command", required=True)
    env = commands.add_parser("env", help="install the environments of runtimes that are missing or out of date")
    env.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names()))
    env.add_argument(
        "--for", dest="when", choices=("setup", "tests"), help="all runtimes whose declaration has this `install`"
    )
    for tool in registry.tools():
        build = commands.add_parser(tool, help=f"build parts of {tool} that are not built yet")
        known = ", ".join(registry.builder(tool).PARTS)
        build.add_argument("parts", nargs="*", metavar="PART", help=f"{known} (default: those that `make setup` needs)")
    locks = commands.add_parser("lock", help="lock the runtimes' requirements")
    locks.add_argument("names", nargs="*", metavar="NAME")
    locks.add_argument(
        "--upgrade", action="store_true", help="take the newest versions instead of keeping the locked ones"
    )
    commands.add_parser("audit", help="scan every lock for known vulnerabilities")
    return parser.parse_args()


def make_environments(chosen: list[str]) -> None:
    """Install the environments. All names are checked first, then the native tools that they need are built."""
    if not chosen:
        raise SetupError(f"No runtime is named: name some of {', '.join(names())}, or use `--for setup`.")
    for name in chosen:
        lock_of(name)
    for tool, parts in native_parts(chosen).items():
        registry.builder(tool).ensure_parts(parts, build_environment)
    unchanged = [name for name in chosen if not ensure(name)]
    if unchanged:
        report(f"environments unchanged: {', '.join(unchanged)}")


def main() -> int:
    """Run the command. Return the exit status."""
    words = parse()
    started = time.monotonic()
    try:
        check_python()
        if words.command == "env":
            chosen = [*words.names, *(installed_by(words.when) if words.when else [])]
            make_environments(chosen)
        elif words.command in registry.tools():
            parts = words.parts or native_parts(installed_by("setup")).get(words.command, [])
            if not registry.builder(words.command).ensure_parts(parts, build_environment):
                report(f"{words.command} unchanged: {', '.join(parts)}")
        elif words.command == "audit":
            return audit()
        else:
            lock(words.names, upgrade=words.upgrade)
            report(f"locked in {time.monotonic() - started:.1f} s")
    except Unavailable as error:
        print(f"set-up: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"set-up: {error}: check the disk space and the owner of the folder, then run this again.", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print("set-up: interrupted; run the same command again to continue.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
