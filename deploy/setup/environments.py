"""Installs the virtual environments of the runtimes that are missing or do not match their locks.

A new environment is installed beside the old one and replaces it only when all its modules can be imported. So an
interrupted or failed installation keeps the old environment, and an incomplete one is never used.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.setup.errors import SetupError
from deploy.setup.exclusive import exclusive
from deploy.setup.native import registry
from deploy.setup.places import environments, log_file
from deploy.setup.runtimes import declaration, lock_of, wanted_stamp
from deploy.setup.steps import run, step
from deploy.setup.torch_source import torch_source
from deploy.setup.uv import STAMP, uv_at_hand

SAFE_TARFILE = (3, 11, 4)
"""The first version of 3.11 whose tarfile can refuse members that lead out of the folder."""

BUILD = "build"
"""The runtime with the build tools for native tools."""

IMPORT_ALL = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"


def is_made(name: str) -> bool:
    """Return whether the runtime's environment exists and matches the current lock."""
    folder = environments() / name
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text() == wanted_stamp(name) and (folder / "bin" / "python").exists()


def ensure(name: str) -> bool:
    """Install the runtime's environment if it is missing or out of date. Return whether it was.

    Raises:
        SetupError: if it cannot be installed.
    """
    if is_made(name):
        return False
    with exclusive(environments() / f".{name}.lock", name):
        if is_made(name):
            return False
        make(name)
    return True


def build_environment() -> Path:
    """Install the environment with the build tools for native tools. Return its folder. Raises SetupError."""
    ensure(BUILD)
    return environments() / BUILD


def make(name: str) -> None:
    """Install the runtime's environment in a new folder, and replace the old environment by it."""
    stamp = wanted_stamp(name)
    final = environments() / name
    new, old = environments() / f".{name}.new", environments() / f".{name}.old"
    for left in (new, old):
        if left.exists():
            shutil.rmtree(left)
    fill(name, new)
    smoke_test(name, new)
    (new / STAMP).write_text(stamp)
    if final.exists():
        final.rename(old)
    new.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def fill(name: str, folder: Path) -> None:
    """Create an environment in `folder`, and install the runtime's locked packages and those installed apart."""
    uv, env = uv_at_hand()
    declared = declaration(name)
    log = log_file(name)
    python = folder / "bin" / "python"
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python]
    retry = f"run `python3 -m deploy.setup env {name}` again."
    with step(name, "installing packages"):
        # Relocatable: the scripts in bin/ contain no absolute path, so the folder can be renamed.
        run(
            [uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, folder],
            log=log,
            env=env,
            otherwise=f"uv could not create the environment {name}: free some disk space and {retry}",
        )
        run(
            # --no-deps: a lock contains all dependencies except torch, which is installed afterwards.
            [*install, "--no-deps", "--require-hashes", "-r", lock_of(name)],
            log=log,
            env=env,
            otherwise=f"The packages of {name} could not be installed: see the message above and {retry}",
        )
    if declared.torch and declared.torch_version:
        source = torch_source(declared.torch_version, declared.torch)
        with step(name, f"installing torch {declared.torch_version} ({source.name})"):
            run(
                [*install, *source.arguments, *declared.installed_apart],
                log=log,
                env=env,
                otherwise=f"torch could not be installed: name a folder with its wheel in PIP_FIND_LINKS and {retry}",
            )
    for need in declared.native:
        if need.bindings:
            registry.bindings(need.tool).install(name, folder, [*install, "--no-deps"], env)
    run(
        [uv, "pip", "check", "--quiet", "--python", python],
        log=log,
        env=env,
        otherwise=f"The locked packages of {name} contradict each other: run `python3 -m deploy.setup lock {name}`.",
    )


def smoke_test(name: str, folder: Path) -> None:
    """Import the modules in the runtime's declaration.

    Raises:
        SetupError: if an import fails.
    """
    with step(name, "importing"), tempfile.TemporaryDirectory() as scratch:
        run(
            [folder / "bin" / "python", "-c", IMPORT_ALL, *declaration(name).imports],
            log=log_file(name),
            # Without this, Airflow would write its configuration into the home folder.
            env=os.environ | {"AIRFLOW_HOME": scratch},
            otherwise=f"The environment {name} cannot be imported: correct deploy/runtimes/{name}.toml and run "
            f"`python3 -m deploy.setup lock {name}`.",
        )


def check_python() -> None:
    """Raise SetupError unless this is the Python version of the locks."""
    if sys.version_info[:2] != (3, 11) or sys.version_info[:3] < SAFE_TARFILE:
        raise SetupError(
            f"Hallmark runs on Python 3.11 (3.11.4 or later), but this is {sys.version.split()[0]}: "
            "name another one, as in `make demo PYTHON=python3.11`."
        )
