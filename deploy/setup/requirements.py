"""Reads the text of requirements files."""

import re

from deploy.setup.errors import SetupError


def pinned(requirements: str, package: str) -> str:
    """Return the version to which the text of a requirements file pins a package.

    Raises:
        SetupError: if the package is not pinned.
    """
    found = re.search(rf"^{re.escape(package)}==([^\s;]+)", requirements, re.MULTILINE)
    if not found:
        raise SetupError(f"No version of {package} is pinned: add a line `{package}==VERSION` to its requirements.")
    return found[1]


def requirement_lines(requirements: str) -> list[str]:
    """Return the lines of a requirements file that are neither empty nor a comment."""
    return [line for line in requirements.splitlines() if line.strip() and not line.startswith("#")]
