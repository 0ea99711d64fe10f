"""The set-up's command line: `python3 -m deploy.setup {env,llama.cpp,lock,audit}`."""

import argparse
import sys
import time

from deploy.setup.audit import EXIT_UNAVAILABLE, Unavailable, audit
from deploy.setup.environments import check_python, ensure
from deploy.setup.errors import SetupError
from deploy.setup.locks import lock
from deploy.setup.native.llama_cpp.build import PARTS, ensure_parts
from deploy.setup.runtimes import HAVE_BINDINGS, lock_of, names
from deploy.setup.steps import tell


def parse() -> argparse.Namespace:
    """Return the command line's words."""
    parser = argparse.ArgumentParser(prog="python3 -m deploy.setup", description="Make what Hallmark runs in.")
    commands = parser.add_subparsers(dest="command", required=True)
    env = commands.add_parser("env", help="make the environments of runtimes, or leave them where nothing changed")
    env.add_argument("names", nargs="+", metavar="NAME", help=", ".join(names()))
    build = commands.add_parser("llama.cpp", help="build parts of llama.cpp that are not built yet")
    build.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; without any: all but server")
    locks = commands.add_parser("lock", help="lock the runtimes' requirements")
    locks.add_argument("names", nargs="*", metavar="NAME")
    locks.add_argument("--upgrade", action="store_true", help="take the newest versions instead of those locked now")
    commands.add_parser("audit", help="scan every lock for known holes")
    return parser.parse_args()


def make_environments(chosen: list[str]) -> None:
    """Make the environments, after all of the names were looked at."""
    for name in chosen:
        lock_of(name)
    if set(chosen) & set(HAVE_BINDINGS):
        ensure_parts(["lib"])
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
            make_environments(words.names)
        elif words.command == "llama.cpp":
            parts = words.parts or [part for part in PARTS if part != "server"]
            if not ensure_parts(parts):
                tell(f"llama.cpp unchanged: {', '.join(parts)}")
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
