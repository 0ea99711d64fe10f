"""Translates pip's settings into environment variables for uv.

A machine behind a mirror or a proxy is usually configured for pip, by files or variables, and uv reads neither. The
settings are passed to uv in its environment, so they never appear in a lock or on a command line. Variables that the
user has set for uv itself are kept.
"""

import ast
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

SECONDS_TO_ANSWER = "120"
"""uv's timeout for an index. The default of 30 s is too short for a mirror that first downloads a wheel of 200 MB."""


def parsed(output: str) -> dict[str, str]:
    """Parse the output of `pip config list`. Return the settings by their names, without the section.

    pip prints `section.name='value'`, where the value is a Python literal. As in pip, environment variables override
    the section `install`, which overrides `global`.
    """
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in output.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found and value[:1] in ("'", '"'):
            found[section][name] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def uv_environment(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with uv's variables added from pip's settings, except those that are set already."""
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
    """Return the environment variables for uv, from the settings of the pip that belongs to `python`."""
    listed = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    return uv_environment(parsed(listed.stdout), os.environ)
