"""Chooses where torch is installed from.

For Linux, the package index has only builds of torch for GPUs, which need gigabytes of CUDA packages. So torch comes
from a folder of wheels in PIP_FIND_LINKS, if one has this version. Otherwise uv takes it from PyTorch's own index, as
the build that the runtime declares: "cpu" for every machine, or "cuda" for this machine's GPU.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.errors import SetupError
from tasks.host.proc import nvidia_gpus
from tasks.runtime_declaration import Torch


@dataclass(frozen=True)
class TorchSource:
    """A source of torch.

    name: a part of the environment's stamp, so that a new source makes the environment out of date.
    arguments: those of uv that select the source.
    """

    name: str
    arguments: tuple[str, ...]


def torch_source(version: str, build: Torch, environment: Mapping[str, str] = os.environ) -> TorchSource:
    """Return the source of this build of torch `version` on this machine.

    Raises:
        SetupError: if the build is for CUDA, and neither a GPU nor UV_TORCH_BACKEND says for which version of CUDA.
    """
    for place in environment.get("PIP_FIND_LINKS", "").split():
        folder = Path(place.removeprefix("file://"))
        wheels = sorted(wheel.name for local in ("", "+*") for wheel in folder.glob(f"torch-{version}{local}-*.whl"))
        if wheels:
            return TorchSource(f"wheels {' '.join(wheels)}", ("--find-links", str(folder)))
    backend = environment.get("UV_TORCH_BACKEND") or {"cpu": "cpu", "cuda": "auto"}[build]
    if build == "cuda" and backend == "auto" and not has_nvidia_gpu():
        # uv would silently install the build for CPUs.
        raise SetupError(
            "This runtime needs torch for CUDA, but this machine has no NVIDIA GPU: use a machine that has one, or "
            "set UV_TORCH_BACKEND."
        )
    return TorchSource(f"backend {backend}", ("--torch-backend", backend))


def has_nvidia_gpu() -> bool:
    """Return whether this machine has an NVIDIA GPU. Some kernels show it to NVIDIA's tool only, as in WSL."""
    return nvidia_gpus() > 0 or shutil.which("nvidia-smi") is not None
