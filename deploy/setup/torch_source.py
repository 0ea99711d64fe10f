"""Where torch comes from.

Its builds for a GPU bring gigabytes of CUDA packages, and on Linux the package index has no other. So a folder of
wheels that pip was told of (PIP_FIND_LINKS) and that holds this version is taken first; else uv asks PyTorch's own
index, for the CPU's build on a machine without an NVIDIA GPU.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TorchSource:
    """A source of torch: the arguments that tell uv of it, and the name by which a change of it is noticed."""

    name: str
    arguments: tuple[str, ...]


def torch_source(version: str, environment: Mapping[str, str] = os.environ) -> TorchSource:
    """Return the source of torch `version` on this machine."""
    for place in environment.get("PIP_FIND_LINKS", "").split():
        folder = Path(place.removeprefix("file://"))
        wheels = sorted(wheel.name for local in ("", "+*") for wheel in folder.glob(f"torch-{version}{local}-*.whl"))
        if wheels:
            return TorchSource(f"wheels {' '.join(wheels)}", ("--find-links", str(folder)))
    backend = environment.get("UV_TORCH_BACKEND") or ("auto" if has_nvidia_gpu() else "cpu")
    return TorchSource(f"backend {backend}", ("--torch-backend", backend))


def has_nvidia_gpu() -> bool:
    """Return whether this machine's NVIDIA driver is there."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
