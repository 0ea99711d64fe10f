"""Where the benchmark keeps its things, and how a program of the measured tree is called."""

import os
from dataclasses import dataclass
from pathlib import Path

from deploy.real.__main__ import REPOSITORY
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.runtimes import environments, runtime, tools

MODEL = REPOSITORY
"""The model that is released: SmolLM2-135M-Instruct, rebuilt from a package."""


@dataclass(frozen=True)
class Places:
    """Folders below `root`.

    tree: the code that is measured. model: the checkpoint. by_hand: the hand-written script's results.
    """

    root: Path

    @property
    def tree(self) -> Path:
        """The code that is measured."""
        return self.root / "tree"

    @property
    def model(self) -> Path:
        """The checkpoint's files."""
        return self.root / "model" / MODEL.rpartition("/")[2]

    @property
    def by_hand(self) -> Path:
        """What the hand-written script makes."""
        return self.root / "by-hand"

    @property
    def state(self) -> Path:
        """The state folder (HALLMARK_HOME) of the measured stack; a whole release begins with an empty one."""
        return self.root / "state"

    def environment(self, state: Path) -> dict[str, str]:
        """The variables of a command of the measured tree."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return inherited | {
            "PYTHONPATH": str(self.tree),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "HALLMARK_HOME": str(state),
            "HALLMARK_ENVS": str(environments()),
            "HALLMARK_TOOLS": str(tools()),
        }


def python(name: str) -> str:
    """The interpreter of a runtime."""
    return str(runtime(name).python)


def task_variables(threads: int) -> dict[str, str]:
    """What the operator adds to the environment of a task's process, but for addresses and credentials."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "LLAMA_CPP_LIB_PATH": str(llama_cpp().lib),
    }
