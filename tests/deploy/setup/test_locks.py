"""The committed locks: whole, hashed, of one mind, and silent about the machine that made them."""

import re
import tomllib
from pathlib import Path

import pytest

from deploy.setup import locks
from deploy.setup.errors import SetupError
from deploy.setup.places import RUNTIMES
from deploy.setup.runtimes import BOOTSTRAP, apart, lock_of, names

LOCKED = [*names(), BOOTSTRAP]


def pins(text: str) -> dict[str, str]:
    """Return the versions, by package, that a lock or constraints file pins."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE))


def requirements(text: str) -> list[str]:
    """Return a lock's requirements, their continued lines joined and comments left out."""
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("name", LOCKED)
def test_every_requirement_is_exact_and_hashed(name: str) -> None:
    for line in requirements(lock_of(name).read_text()):
        assert re.match(r"\S+==\S+(\s+;.*?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*$", line), line[:80]


@pytest.mark.parametrize("path", sorted(RUNTIMES.iterdir()), ids=lambda path: path.name)
def test_names_no_place(path: Path) -> None:
    text = path.read_text()
    found = re.search(r"://|--index|--extra-index|--find-links|--trusted-host|(?<![\w.])/\w+/\w+", text)
    assert found is None, found


@pytest.mark.parametrize("name", LOCKED)
def test_agrees_with_constraints(name: str) -> None:
    constraints = pins((RUNTIMES / "constraints.txt").read_text())
    locked = pins(lock_of(name).read_text())
    assert {package: locked[package] for package in locked.keys() & constraints.keys()} == {
        package: constraints[package] for package in locked.keys() & constraints.keys()
    }


def test_what_data_crosses_with_is_constrained() -> None:
    constraints = pins((RUNTIMES / "constraints.txt").read_text())
    shared = {"boto3", "pydantic", "filelock", "numpy", "safetensors", "onnx", "onnxruntime", "tokenizers", "jinja2"}
    assert shared <= constraints.keys()


def test_dev_is_control_and_more() -> None:
    assert pins(lock_of("control").read_text()).items() <= pins(lock_of("dev").read_text()).items()


@pytest.mark.parametrize("name", LOCKED)
def test_no_torch_and_no_cuda(name: str) -> None:
    locks.refuse(name, lock_of(name).read_text())


def test_only_the_runtime_of_torch_holds_it() -> None:
    table = tomllib.loads((RUNTIMES / "imports.toml").read_text())
    assert [name for name, modules in table.items() if "torch" in modules] == ["torch"]


@pytest.mark.parametrize("package", ["torch", "triton", "nvidia-cublas", "cuda-toolkit"])
def test_forbidden_package_is_refused(package: str) -> None:
    with pytest.raises(SetupError, match=rf"brought in {package}.*deploy/runtimes/mlflow\.in"):
        locks.refuse("mlflow", f"numpy==1.0\n{package}==1.0 \\\n    --hash=sha256:ab\n")


def test_lookalikes_are_not_refused() -> None:
    locks.refuse("torch", "torchmetrics==1.0\ntriton-client==1.0\n")


@pytest.mark.parametrize("name", LOCKED)
def test_digest_of_a_lock_covers_what_is_installed_apart(name: str) -> None:
    assert locks.told_apart(apart(name)) in lock_of(name).read_text()
    assert (apart(name) is not None) == (name in ("torch", "llama-cpp"))
