"""The committed locks: whole, hashed, of one mind, and silent about the machine that made them."""

import re
from pathlib import Path

import pytest

from deploy.setup import locks
from deploy.setup.errors import SetupError
from deploy.setup.native import registry
from deploy.setup.places import RUNTIMES
from deploy.setup.runtimes import BOOTSTRAP, declaration, installed_apart, lock_of, names
from tests.deploy.setup.sandbox import Sandbox, tiny_wheel

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


NATIVE = sorted(Path(registry.__file__).parent.glob("*/source.txt"))


@pytest.mark.parametrize("path", [*sorted(RUNTIMES.iterdir()), *NATIVE], ids=lambda path: path.name)
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
    shared = {"boto3", "pydantic", "numpy", "safetensors", "onnx", "onnxruntime", "tokenizers", "jinja2"}
    assert shared <= constraints.keys()


@pytest.mark.parametrize("name", LOCKED)
def test_a_runtime_holds_what_it_includes(name: str) -> None:
    for other in locks.included(name):
        assert pins(lock_of(other).read_text()).items() <= pins(lock_of(name).read_text()).items()


def test_dev_is_control_and_more() -> None:
    assert locks.included("dev") == ["control"]


@pytest.mark.parametrize("name", LOCKED)
def test_no_torch_and_no_cuda(name: str) -> None:
    locks.refuse(name, lock_of(name).read_text())


@pytest.mark.parametrize("name", LOCKED)
def test_only_who_declares_torch_imports_it(name: str) -> None:
    declared = declaration(name)
    assert (declared.torch is not None) == any(module.split(".")[0] == "torch" for module in declared.imports)


@pytest.mark.parametrize("package", ["torch", "triton", "nvidia-cublas", "cuda-toolkit"])
def test_forbidden_package_is_refused(package: str) -> None:
    with pytest.raises(SetupError, match=rf"brought in {package}.*deploy/runtimes/mlflow\.toml"):
        locks.refuse("mlflow", f"numpy==1.0\n{package}==1.0 \\\n    --hash=sha256:ab\n")


def test_lookalikes_are_not_refused() -> None:
    locks.refuse("torch", "torchmetrics==1.0\ntriton-client==1.0\n")


@pytest.mark.parametrize("name", LOCKED)
def test_digest_of_a_lock_covers_what_is_installed_apart(name: str) -> None:
    told = [line for line in lock_of(name).read_text().splitlines() if line.startswith("#")]
    assert "".join(f"{line}\n" for line in told) == locks.HEADER.format(name=name) + locks.comments_on_apart(
        installed_apart(name)
    )
    holds_more = declaration(name).torch or any(need.bindings for need in declaration(name).native)
    assert bool(installed_apart(name)) == bool(holds_more)


def test_what_is_included_is_locked_first(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.declare("a", includes=["tiny"])
    sandbox.declare("b", includes=["a"])
    done: list[str] = []
    monkeypatch.setattr(locks, "lock_one", lambda name, upgrade: done.append(name))
    (sandbox.runtimes / "uv.toml").write_text((RUNTIMES / "uv.toml").read_text())
    locks.lock([], upgrade=False)
    assert done == ["tiny", "uv", "a", "b"]
    assert locks.included("b") == ["a", "tiny"]


def test_a_runtime_that_includes_itself_is_refused(sandbox: Sandbox) -> None:
    sandbox.declare("a", includes=["b"])
    sandbox.declare("b", includes=["a"])
    with pytest.raises(SetupError, match=r"a\.toml includes itself: remove it from 'includes' of b\.toml"):
        locks.included("a")


def test_a_lock_holds_what_the_runtime_and_the_included_ones_require(sandbox: Sandbox) -> None:
    for name in ("floors", "constraints"):
        (sandbox.runtimes / f"{name}.txt").write_text("")
    for package, version in (("tiny_package", "2.0"), ("other_tiny_package", "1.0")):
        tiny_wheel(sandbox.wheels, version, package)
    sandbox.declare("more", includes=["tiny"], requires=["other-tiny-package"])
    locks.lock(["more"], upgrade=False)
    text = (sandbox.runtimes / "more.txt").read_text()
    assert text.startswith("# Locked by `python3 -m deploy.setup lock more`: change more.toml instead.\n")
    # Not 2.0: the included runtime is locked at 1.0.
    assert pins(text) == {"other-tiny-package": "1.0", "tiny-package": "1.0"}
