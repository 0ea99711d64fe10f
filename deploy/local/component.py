"""End what a killed component left, then become the next one: `python -m deploy.local.component RECORD COMMAND...`

A killed process cannot end its children. MLflow's server is a child that would keep the port from the next one, and
Airflow's workers would run tasks that the next scheduler gives to its own. Model tasks lead sessions of their own: they
are not touched, and the next try attaches to them.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from deploy.local.session import orphans


def main() -> None:
    """End the orphans of the session that RECORD names and become the command."""
    record, *command = sys.argv[1:]
    for pid in orphans(Path(record)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os.execv(command[0], command)  # noqa: S606  # there is nothing for a shell to do


if __name__ == "__main__":
    main()
