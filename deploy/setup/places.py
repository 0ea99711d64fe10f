"""The folders and files that the set-up reads and writes."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
RUNTIMES = PROJECT / "deploy" / "runtimes"
"""The declarations of the runtimes (NAME.toml, written by hand) and their locks (NAME.txt, generated)."""


def home() -> Path:
    """Return the state folder: HALLMARK_HOME, or `.hallmark` in the project."""
    return Path(os.environ.get("HALLMARK_HOME") or PROJECT / ".hallmark").absolute()


def environments() -> Path:
    """Return the folder with one virtual environment for each runtime: HALLMARK_ENVS, or `envs` in `home()`."""
    return Path(os.environ.get("HALLMARK_ENVS") or home() / "envs").absolute()


def tools() -> Path:
    """Return the folder of links to native tools: HALLMARK_TOOLS, or `tools` beside the environments."""
    return Path(os.environ.get("HALLMARK_TOOLS") or environments().parent / "tools").absolute()


def log_file(name: str) -> Path:
    """Return the log file for the commands of the step `name`. Its folder is created if it is missing."""
    folder = home() / "logs" / "setup"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def user_cache() -> Path:
    """Return the cache folder that all checkouts of this user share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "hallmark"
