"""Where torch comes from.

Its builds for a GPU bring gigabytes of CUDA packages, and on Linux the package index has no other. So a folder of
wheels that pip was told of (PIP_FIND_LINKS) and that holds this version is taken first; else uv asks PyTorch's own
index, for the build that the runtime declares: the CPU's on every machine, or the one that fits this machine's GPU.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.errors import SetupError
from tasks.runtime_declaration import Torch


@dataclass(frozen=True)
class TorchSource:
    """A source of torch: the arguments that tell uv of it, and the name by which a change of it is noticed."""

    name: str
    arguments: tuple[str, ...]


def torch_source(version: str, build: Torch, environment: Mapping[str, str] = os.environ) -> TorchSource:
    """Return the source of this build of torch `version` on this machine.

    Raises:
        SetupError: where it is to be for CUDA, and nothing says for which version of it.
    """
    for place in environment.get("PIP_FIND_LINKS", "").split():
        folder = Path(place.removeprefix("file://"))
        wheels = sorted(wheel.name for local in ("", "+*") for wheel in folder.glob(f"torch-{version}{local}-*.whl"))
        if wheels:
            return TorchSource(f"wheels {' '.join(wheels)}", ("--find-links", str(folder)))
    backend = environment.get("UV_TORCH_BACKEND") or {"cpu": "cpu", "cuda": "auto"}[build]
    if build == "cuda" and backend == "auto" and not has_nvidia_gpu():
        # uv would take the CPU's build without a word.
        raise SetupError(
            "This runtime holds torch for CUDA, and this machine has no NVIDIA GPU: make it on one that has, or name "
            "the build in UV_TORCH_BACKEND."
        )
    return TorchSource(f"backend {backend}", ("--torch-backend", backend))


def has_nvidia_gpu() -> bool:
    """Return whether this machine's NVIDIA driver is there."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
