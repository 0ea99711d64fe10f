"""uv's environment, made from pip's settings.

A machine behind a mirror or a proxy is set up for pip, by its files or its variables; uv reads neither. What pip was
told is handed to uv in its environment, and so never reaches a lock or a command line. What uv was told itself stays.
"""

import ast
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

SECONDS_TO_ANSWER = "120"
"""uv gives a silent index 30 s, which a mirror that first fetches a wheel of 200 MB itself may need longer than."""


def parsed(said: str) -> dict[str, str]:
    """Return the settings that `pip config list` printed, by their names without the section.

    pip prints `section.name='value'`, a value being a Python literal. A variable wins over the section `install`, and
    that over `global`, as in pip.
    """
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in said.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found and value[:1] in ("'", '"'):
            found[section][name] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def uv_environment(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with uv's variables added from pip's settings, where uv has none of its own."""
    made = dict(environment)
    made.setdefault("UV_HTTP_TIMEOUT", pip.get("default-timeout", SECONDS_TO_ANSWER))
    made.setdefault("UV_NO_PROGRESS", "1")
    made.setdefault("UV_PYTHON_DOWNLOADS", "never")
    if "index-url" in pip and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & made.keys():
        made["UV_DEFAULT_INDEX"] = pip["index-url"]
    if "cert" in pip:
        made.setdefault("SSL_CERT_FILE", pip["cert"])
    if "proxy" in pip:
        made.setdefault("ALL_PROXY", pip["proxy"])
    return made


def for_uv(python: Path) -> dict[str, str]:
    """Return the environment in which to run uv, from the settings that the pip of `python` reads."""
    listed = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    return uv_environment(parsed(listed.stdout), os.environ)
