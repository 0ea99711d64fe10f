"""Somebody who uses a released model, and has only what the model's own requirements name."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.native.llama_cpp.cache import current_folder
from deploy.setup.runtimes import declaration
from deploy.setup.torch_source import torch_source
from deploy.setup.uv import uv_at_hand
from tasks.manifest import Manifest
from tasks.release.usage import usages
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tasks.store.artifacts import read_manifest
from tests.fixtures.released import ReleasedStack

TORCH = declaration("torch")
LOCK = REPOSITORY / "deploy" / "runtimes" / "consumer.txt"

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads of torch wait asleep. Otherwise they spin, and take the cores of the suite that runs beside this one."""


@dataclass(frozen=True)
class Consumer:
    """A target, its champion's address, and an interpreter with a folder and variables to run it with."""

    target: str
    address: str
    python: Path
    folder: Path
    variables: Mapping[str, str]

    def run(self, *command: str | Path) -> str:
        """Run a command in the folder and return what it printed; fails unless it succeeds."""
        done = run(command, self.folder, self.variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def run(command: Sequence[str | Path], folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )


def outside(told: Mapping[str, str], python: Path, home: Path) -> dict[str, str]:
    """The variables of somebody who was told a stack's addresses and credentials; PATH begins where `python` is."""
    library = {"LLAMA_CPP_LIB_PATH": str(current_folder() / "lib")}
    return {"PATH": f"{python.parent}:{os.environ['PATH']}", "HOME": str(home), **PASSIVE, **library, **told}


def artifact_of(released: ReleasedStack, target: str) -> Manifest:
    key = released.target(target).artifact
    assert key
    return read_manifest(released.store, key)


def lines_of(released: ReleasedStack, target: str) -> dict[str, str]:
    """The lines of a target in the report, by their titles."""
    artifact = artifact_of(released, target)
    uri = released.store.uri(artifact.own_name)
    return {usage.title: usage.lines for usage in usages(released.target(target), artifact, uri)}


def make_environment(folder: Path) -> tuple[Path, dict[str, str]]:
    """Make an empty virtual environment in which `pip` works as its user's would.

    Returns its interpreter, and the variables by which this machine finds packages.
    """
    uv, variables = uv_at_hand()
    assert TORCH.torch and TORCH.torch_version
    subprocess.run([uv, "venv", "--quiet", "--python", runtime("consumer").python, folder], env=variables, check=True)
    # A user would wait for llama.cpp's compiler, and for torch from its index; this machine may have both already.
    # Constrained only so that a package published tomorrow does not decide today's result.
    given = ["--constraints", LOCK, "--find-links", current_folder() / "bindings"]
    options = " ".join(f"'{word}'" for word in (*given, *torch_source(TORCH.torch_version, TORCH.torch).arguments))
    pip = folder / "bin" / "pip"
    pip.write_text(
        "#!/bin/sh\ncommand=$1\nshift\n"
        f"exec '{uv}' pip \"$command\" --quiet --python '{folder}/bin/python' {options} \"$@\"\n"
    )
    pip.chmod(0o755)
    return folder / "bin" / "python", variables
