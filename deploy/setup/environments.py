"""Virtual environments: made when they are missing or no longer what their lock says, and otherwise left alone.

A new environment is made beside the old one and takes its place when all of it imports, so an install that is
interrupted or fails leaves the old one as it was, and nothing half-made ever looks done.
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
"""The first 3.11 whose tarfile refuses members that lead out of the folder."""

BUILD = "build"
"""The runtime of the tools with which native tools are built."""

IMPORT_ALL = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"


def is_made(name: str) -> bool:
    """Return whether the runtime's environment is there and made from what is locked now."""
    folder = environments() / name
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text() == wanted_stamp(name) and (folder / "bin" / "python").exists()


def ensure(name: str) -> bool:
    """Make the runtime's environment unless it is made; return whether there was anything to do.

    Raises:
        SetupError: where it cannot be made.
    """
    if is_made(name):
        return False
    with exclusive(environments() / f".{name}.lock", name):
        if is_made(name):
            return False
        make(name)
    return True


def build_environment() -> Path:
    """Make the environment of the tools with which native tools are built, and return its folder; raises SetupError."""
    ensure(BUILD)
    return environments() / BUILD


def make(name: str) -> None:
    """Make the runtime's environment anew and put it in the place of the one before."""
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
    """Make an environment in `folder` and install what is locked for the runtime, and what is installed apart."""
    uv, env = uv_at_hand()
    declared = declaration(name)
    log = log_file(name)
    python = folder / "bin" / "python"
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python]
    retry = f"run `python3 -m deploy.setup env {name}` again."
    with step(name, "installing packages"):
        # Relocatable: the scripts in bin/ name no folder, so the whole can be renamed.
        run(
            [uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, folder],
            log=log,
            env=env,
            otherwise=f"uv could not make the environment {name}: free some disk space and {retry}",
        )
        run(
            # A lock is whole, but for torch, which what is locked may need and finds afterwards.
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
        otherwise=f"What is locked for {name} does not fit together: run `python3 -m deploy.setup lock {name}`.",
    )


def smoke_test(name: str, folder: Path) -> None:
    """Import what the runtime is for.

    Raises:
        SetupError: where an import fails.
    """
    with step(name, "importing"), tempfile.TemporaryDirectory() as scratch:
        run(
            [folder / "bin" / "python", "-c", IMPORT_ALL, *declaration(name).imports],
            log=log_file(name),
            # Airflow writes its configuration wherever it finds itself.
            env=os.environ | {"AIRFLOW_HOME": scratch},
            otherwise=f"The environment {name} does not import: correct deploy/runtimes/{name}.toml and run "
            f"`python3 -m deploy.setup lock {name}`.",
        )


def check_python() -> None:
    """Raise SetupError unless this is the Python that everything is locked for."""
    if sys.version_info[:2] != (3, 11) or sys.version_info[:3] < SAFE_TARFILE:
        raise SetupError(
            f"Hallmark runs on Python 3.11 (from 3.11.4 on) and this is {sys.version.split()[0]}: "
            "name one, as in `make demo PYTHON=python3.11`."
        )
