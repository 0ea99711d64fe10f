"""A folder of wheels that pip is pointed to comes first, and only with the version asked for."""

from pathlib import Path

import pytest

from deploy.setup import torch_source
from deploy.setup.errors import SetupError
from deploy.setup.torch_source import TorchSource
from tasks.runtime_declaration import Torch

WHEEL = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"


def test_folder_of_wheels(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / WHEEL).touch()
    found = torch_source.torch_source("2.13.0", "cpu", {"PIP_FIND_LINKS": f"{tmp_path / 'other'} {tmp_path}"})
    assert found == TorchSource(f"wheels {WHEEL}", ("--find-links", str(tmp_path)))
    assert torch_source.torch_source("2.13.0", "cpu", {"PIP_FIND_LINKS": f"file://{tmp_path}"}) == found


@pytest.mark.parametrize("wheel", ["torch-2.13.01-cp311-cp311-linux.whl", "torch-2.12.0-cp311-cp311-linux.whl"])
def test_folder_without_that_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: str) -> None:
    monkeypatch.setattr(torch_source, "has_nvidia_gpu", lambda: False)
    (tmp_path / wheel).touch()
    found = torch_source.torch_source("2.13.0", "cpu", {"PIP_FIND_LINKS": str(tmp_path)})
    assert found == TorchSource("backend cpu", ("--torch-backend", "cpu"))


@pytest.mark.parametrize("build", ["cpu", "cuda"])
def test_the_declared_build_decides_the_backend(build: Torch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_source, "has_nvidia_gpu", lambda: True)
    backend = {"cpu": "cpu", "cuda": "auto"}[build]
    assert torch_source.torch_source("2.13.0", build, {}).arguments == ("--torch-backend", backend)
    named = torch_source.torch_source("2.13.0", build, {"UV_TORCH_BACKEND": "cu130"})
    assert named.arguments == ("--torch-backend", "cu130")


def test_torch_for_cuda_needs_a_gpu_or_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_source, "has_nvidia_gpu", lambda: False)
    with pytest.raises(SetupError, match=r"no NVIDIA GPU.*UV_TORCH_BACKEND"):
        torch_source.torch_source("2.13.0", "cuda", {})
    named = torch_source.torch_source("2.13.0", "cuda", {"UV_TORCH_BACKEND": "cu130"})
    assert named.arguments == ("--torch-backend", "cu130")
