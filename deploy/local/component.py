"""Starts a component after ending the processes that a killed one left behind.

    python -m deploy.local.component RECORD COMMAND...

A killed process cannot end its children. A child of MLflow's server would keep the port. Airflow's old workers would
run tasks that the next scheduler gives to its own workers. Model tasks have their own sessions: they continue, and the
next attempt attaches to them.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from deploy.local.session import orphans


def main() -> None:
    """Kill the orphans of the session in the file RECORD, then replace this process by the command."""
    record, *command = sys.argv[1:]
    for pid in orphans(Path(record)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os.execv(command[0], command)  # noqa: S606  # there is nothing for a shell to do


if __name__ == "__main__":
    main()
