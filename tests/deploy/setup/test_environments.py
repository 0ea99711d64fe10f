"""Environments are made once, remade when their lock changes, and never look done when they are not."""

import subprocess
from pathlib import Path

import pytest

from deploy.setup import environments, locks
from deploy.setup.errors import SetupError
from deploy.setup.uv import STAMP
from tests.deploy.setup.sandbox import Sandbox, tiny_wheel


def version_in(home: Path, name: str = "tiny", package: str = "tiny_package") -> str:
    """Return the version of a package as the environment's own interpreter sees it."""
    python = home / "envs" / name / "bin" / "python"
    said = subprocess.run([python, "-c", f"import {package} as p; print(p.VERSION)"], capture_output=True, text=True)
    return said.stdout.strip()


def test_made_once_then_reused(sandbox: Sandbox) -> None:
    assert environments.ensure("tiny") is True
    stamp = sandbox.home / "envs" / "tiny" / STAMP
    first = stamp.stat()
    assert version_in(sandbox.home) == "1.0"
    assert environments.ensure("tiny") is False
    assert stamp.stat().st_ino == first.st_ino


def test_changed_lock_remakes(sandbox: Sandbox) -> None:
    environments.ensure("tiny")
    sandbox.lock("2.0")
    assert environments.is_made("tiny") is False
    assert environments.ensure("tiny") is True
    assert version_in(sandbox.home) == "2.0"
    assert not [path.name for path in (sandbox.home / "envs").iterdir() if path.suffix in (".new", ".old")]


def test_scripts_still_work_after_the_rename(sandbox: Sandbox) -> None:
    environments.ensure("tiny")
    for script in (sandbox.home / "envs" / "tiny" / "bin").iterdir():
        assert b"tiny.new" not in script.read_bytes(), script


def test_wrong_hash_leaves_the_old_environment(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    environments.ensure("tiny")
    sandbox.lock("2.0", digest="0" * 64)
    with pytest.raises(SetupError, match=r"tiny could not be installed.*python3 -m deploy.setup env tiny"):
        environments.ensure("tiny")
    assert "hash" in capfd.readouterr().err.lower()
    assert version_in(sandbox.home) == "1.0"
    assert environments.is_made("tiny") is False


def test_lock_without_a_hash_is_refused(sandbox: Sandbox) -> None:
    (sandbox.runtimes / "tiny.txt").write_text("tiny-package==1.0\n")
    with pytest.raises(SetupError, match="could not be installed"):
        environments.ensure("tiny")


def test_torch_comes_from_the_folder_in_pips_settings(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "local"
    local.mkdir()
    tiny_wheel(local, "9.9.0+cpu", "torch")
    monkeypatch.setenv("PIP_FIND_LINKS", str(local))
    sandbox.declare("engine", torch="cpu", installed_apart=["torch==9.9.0"], imports=["torch", "tiny_package"])
    (sandbox.runtimes / "engine.txt").write_text((sandbox.runtimes / "tiny.txt").read_text())
    environments.ensure("engine")
    assert version_in(sandbox.home, "engine", "torch") == "9.9.0+cpu"


def test_what_needs_torch_is_locked_without_it_and_installed_with_it(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "local"
    local.mkdir()
    for folder, version in ((sandbox.wheels, "9.9.0"), (sandbox.wheels, "9.9.1"), (local, "9.9.0+cpu")):
        cuda = [] if version.endswith("cpu") else ["nvidia-tiny", "triton"]
        tiny_wheel(folder, version, "torch", requires=cuda)
    for package in ("nvidia_tiny", "triton"):
        tiny_wheel(sandbox.wheels, "1.0", package)
    tiny_wheel(sandbox.wheels, "3.0", "needs_torch", requires=["torch", "tiny-package"])
    for name in ("floors", "constraints"):
        (sandbox.runtimes / f"{name}.txt").write_text("")
    keys = {"requires": ["needs-torch"], "imports": ["needs_torch", "torch"]}
    monkeypatch.setenv("PIP_FIND_LINKS", str(local))

    sandbox.declare("other", **keys)
    with pytest.raises(SetupError, match=r"brought in nvidia-tiny.*or declare 'torch' there"):
        locks.lock(["other"], upgrade=False)
    assert not (sandbox.runtimes / "other.txt").exists()

    sandbox.declare("other", **keys, torch="cpu", installed_apart=["torch==9.9.0"])
    locks.lock(["other"], upgrade=False)
    lines = (sandbox.runtimes / "other.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines if line[0].isalpha()] == ["needs-torch==3.0", "tiny-package==1.0"]
    assert "# Installed apart: torch==9.9.0" in lines
    environments.ensure("other")
    assert version_in(sandbox.home, "other", "torch") == "9.9.0+cpu"
    assert sorted(path.suffix for path in sandbox.runtimes.iterdir()) == [".toml"] * 2 + [".txt"] * 4


def test_what_does_not_import_is_not_made(sandbox: Sandbox) -> None:
    sandbox.declare("tiny", imports=["tiny_package", "absent_module"])
    with pytest.raises(SetupError, match=r"environment tiny cannot be imported: correct deploy/runtimes/tiny\.toml"):
        environments.ensure("tiny")
    assert not (sandbox.home / "envs" / "tiny").exists()


def test_interrupted_install_is_not_made_and_is_swept(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str, folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(environments, "smoke_test", interrupted)
        with pytest.raises(KeyboardInterrupt):
            environments.ensure("tiny")
    assert (sandbox.home / "envs" / ".tiny.new" / "bin" / "python").exists()
    assert environments.is_made("tiny") is False
    assert environments.ensure("tiny") is True
    assert not (sandbox.home / "envs" / ".tiny.new").exists()


def test_removed_interpreter_is_noticed(sandbox: Sandbox) -> None:
    environments.ensure("tiny")
    (sandbox.home / "envs" / "tiny" / "bin" / "python").unlink()
    assert environments.is_made("tiny") is False


@pytest.mark.parametrize("version", [(3, 12, 1), (3, 10, 9), (3, 11, 3)])
def test_other_python_is_refused(version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    environments.check_python()
    monkeypatch.setattr("sys.version_info", version)
    with pytest.raises(SetupError, match=r"runs on Python 3\.11.*make demo PYTHON=python3\.11"):
        environments.check_python()
