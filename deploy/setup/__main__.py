"""The set-up's command line: `python3 -m deploy.setup {env,lock,audit}`, and a command for each native tool."""

import argparse
import sys
import time

from deploy.setup.audit import EXIT_UNAVAILABLE, Unavailable, audit
from deploy.setup.environments import build_environment, check_python, ensure
from deploy.setup.errors import SetupError
from deploy.setup.locks import lock
from deploy.setup.native import registry
from deploy.setup.runtimes import installed_by, lock_of, names, native_parts
from deploy.setup.steps import tell


def parse() -> argparse.Namespace:
    """Return the command line's words."""
    parser = argparse.ArgumentParser(prog="python3 -m deploy.setup", description="Make what Hallmark runs in.")
    commands = parser.add_subparsers(dest="command", required=True)
    env = commands.add_parser("env", help="make the environments of runtimes, or leave them where nothing changed")
    env.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names()))
    env.add_argument("--for", dest="when", choices=("setup", "tests"), help="all that are declared with this `install`")
    for tool in registry.tools():
        build = commands.add_parser(tool, help=f"build parts of {tool} that are not built yet")
        told = "without any: those that `make setup` needs"
        build.add_argument(
            "parts", nargs="*", metavar="PART", help=f"{', '.join(registry.builder(tool).PARTS)}; {told}"
        )
    locks = commands.add_parser("lock", help="lock the runtimes' requirements")
    locks.add_argument("names", nargs="*", metavar="NAME")
    locks.add_argument("--upgrade", action="store_true", help="take the newest versions instead of those locked now")
    commands.add_parser("audit", help="scan every lock for known holes")
    return parser.parse_args()


def make_environments(chosen: list[str], *, tests: bool) -> None:
    """Make the environments, after all of the names were looked at and the native tools that they need were built."""
    if not chosen:
        raise SetupError(f"No runtime is named: name some of {', '.join(names())}, or say `--for setup`.")
    for name in chosen:
        lock_of(name)
    for tool, parts in native_parts(chosen, tests=tests).items():
        registry.builder(tool).ensure_parts(parts, build_environment)
    unchanged = [name for name in chosen if not ensure(name)]
    if unchanged:
        tell(f"environments unchanged: {', '.join(unchanged)}")


def main() -> int:
    """Do what the command line says; return the exit status."""
    words = parse()
    started = time.monotonic()
    try:
        check_python()
        if words.command == "env":
            chosen = [*words.names, *(installed_by(words.when) if words.when else [])]
            make_environments(chosen, tests=words.when == "tests")
        elif words.command in registry.tools():
            parts = words.parts or native_parts(installed_by("setup")).get(words.command, [])
            if not registry.builder(words.command).ensure_parts(parts, build_environment):
                tell(f"{words.command} unchanged: {', '.join(parts)}")
        elif words.command == "audit":
            return audit()
        else:
            lock(words.names, upgrade=words.upgrade)
            tell(f"locked in {time.monotonic() - started:.1f} s")
    except Unavailable as error:
        print(f"set-up: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"set-up: {error}: see to the disk's space and the folder's owner, then run this again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
