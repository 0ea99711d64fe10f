"""Installs uv, at a pinned version, in its own environment. uv then installs all other environments."""

import shutil
import sys
from functools import cache
from pathlib import Path

from deploy.setup.exclusive import exclusive
from deploy.setup.pip_settings import for_uv
from deploy.setup.places import environments, log_file
from deploy.setup.runtimes import BOOTSTRAP, lock_of, wanted_stamp
from deploy.setup.steps import run, step

STAMP = "hallmark-stamp"
"""The file in an environment with its stamp (see runtimes.py). It is written last, so an interrupted one has none."""


@cache
def uv_at_hand() -> tuple[Path, dict[str, str]]:
    """Return the path of uv and its environment variables. Install uv first if it is missing or out of date.

    Raises:
        SetupError: if Python's venv or pip fails.
    """
    folder = environments() / BOOTSTRAP
    python = folder / "bin" / "python"
    with exclusive(environments() / f".{BOOTSTRAP}.lock", BOOTSTRAP):
        stamp = folder / STAMP
        if not stamp.is_file() or stamp.read_text() != wanted_stamp(BOOTSTRAP):
            install(folder, python)
            stamp.write_text(wanted_stamp(BOOTSTRAP))
    return folder / "bin" / "uv", for_uv(python)


def install(folder: Path, python: Path) -> None:
    """Install uv in a new environment, with Python's own venv and pip."""
    log = log_file(BOOTSTRAP)
    if folder.exists():
        shutil.rmtree(folder)
    with step(BOOTSTRAP, "installing"):
        run(
            [sys.executable, "-m", "venv", folder],
            log=log,
            otherwise="Python's venv does not work: install it (Debian: apt-get install python3.11-venv).",
        )
        run(
            [python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock_of(BOOTSTRAP)],
            log=log,
            otherwise="pip could not install uv: check that this machine reaches a package index (`pip config list`).",
        )
