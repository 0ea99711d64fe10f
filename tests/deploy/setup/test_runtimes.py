"""The stamp covers what decides an environment's content, and unknown names are answered with the known ones."""

from pathlib import Path

import pytest

from deploy.setup import runtimes
from deploy.setup.errors import SetupError
from tests.deploy.setup.sandbox import Sandbox


def test_stamp_follows_lock_and_python(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    before = runtimes.wanted_stamp("tiny")
    assert runtimes.wanted_stamp("tiny") == before
    monkeypatch.setattr("platform.python_version", lambda: "3.11.99")
    other_python = runtimes.wanted_stamp("tiny")
    sandbox.lock("2.0")
    assert len({before, other_python, runtimes.wanted_stamp("tiny")}) == 3


def test_stamp_of_torch_follows_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    from_index = runtimes.wanted_stamp("torch")
    (tmp_path / f"torch-{runtimes.torch_version()}+cpu-cp311-cp311-linux_x86_64.whl").touch()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert runtimes.wanted_stamp("torch") != from_index


@pytest.mark.parametrize("name", runtimes.HAVE_BINDINGS)
def test_stamp_of_llama_cpp_follows_its_build(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = runtimes.wanted_stamp(name)
    monkeypatch.setattr(runtimes, "build_digest", lambda version: "other processor")
    assert runtimes.wanted_stamp(name) != before


def test_unknown_name_is_answered_with_the_known() -> None:
    with pytest.raises(SetupError, match=r"no runtime 'contrl'.*control, dev"):
        runtimes.lock_of("contrl")


def test_missing_lock_is_answered_with_the_command(sandbox: Sandbox) -> None:
    (sandbox.runtimes / "tiny.txt").unlink()
    with pytest.raises(SetupError, match=r"deploy\.setup lock tiny"):
        runtimes.lock_of("tiny")


def test_every_runtime_has_a_lock_and_imports() -> None:
    for name in runtimes.names():
        assert runtimes.lock_of(name).is_file()
        assert runtimes.imports(name)


def test_pinned() -> None:
    assert runtimes.pinned("# torch==1.0\ntorch==2.13.0 --hash=sha256:ab\n", "torch") == "2.13.0"
    with pytest.raises(SetupError, match="No version of torch"):
        runtimes.pinned("torch>=2\n", "torch")
