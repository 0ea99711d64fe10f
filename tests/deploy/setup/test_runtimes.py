"""The stamp covers what decides an environment's content, and unknown names are answered with the known ones."""

from pathlib import Path

import pytest

from deploy.setup import places, runtimes
from deploy.setup.errors import SetupError
from tests.deploy.setup.sandbox import Sandbox


def test_stamp_follows_lock_and_python(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    before = runtimes.wanted_stamp("tiny")
    assert runtimes.wanted_stamp("tiny") == before
    monkeypatch.setattr("platform.python_version", lambda: "3.11.99")
    other_python = runtimes.wanted_stamp("tiny")
    sandbox.lock("2.0")
    assert len({before, other_python, runtimes.wanted_stamp("tiny")}) == 3


@pytest.mark.parametrize("name", [name for name in runtimes.names() if runtimes.declaration(name).torch])
def test_stamp_of_torch_follows_its_source(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    from_index = runtimes.wanted_stamp(name)
    version = runtimes.declaration(name).torch_version
    (tmp_path / f"torch-{version}+cpu-cp311-cp311-linux_x86_64.whl").touch()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert runtimes.wanted_stamp(name) != from_index


@pytest.mark.parametrize("name", runtimes.names())
def test_stamp_follows_the_builds_of_the_bindings_that_it_holds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = runtimes.wanted_stamp(name)
    monkeypatch.setattr("deploy.setup.native.llama_cpp.bindings.build_digest", lambda: "other processor")
    has_bindings = any(need.bindings for need in runtimes.declaration(name).native)
    assert (runtimes.wanted_stamp(name) != before) == has_bindings


def test_unknown_name_is_answered_with_the_known() -> None:
    with pytest.raises(SetupError, match=r"no runtime 'contrl'.*control, dev"):
        runtimes.lock_of("contrl")


def test_missing_lock_is_answered_with_the_command(sandbox: Sandbox) -> None:
    (sandbox.runtimes / "tiny.txt").unlink()
    with pytest.raises(SetupError, match=r"deploy\.setup lock tiny"):
        runtimes.lock_of("tiny")


def test_every_runtime_has_a_lock_and_every_lock_a_runtime() -> None:
    locks = {path.stem for path in places.RUNTIMES.glob("*.txt")} - {"constraints", "floors"}
    assert locks == {*runtimes.names(), runtimes.BOOTSTRAP}


def test_a_wrong_declaration_is_one_sentence(sandbox: Sandbox) -> None:
    sandbox.declare("tiny", reqires=["x"])
    with pytest.raises(SetupError, match=r"tiny\.toml: unknown key 'reqires'; did you mean 'requires'\?$"):
        runtimes.lock_of("tiny")


def test_what_is_made_when_is_declared(sandbox: Sandbox) -> None:
    for name, when in (("one", "tests"), ("two", "first-use"), ("three", "setup")):
        sandbox.declare(name, install=when)
    assert runtimes.installed_by("setup") == ["three", "tiny"]
    assert runtimes.installed_by("tests") == ["one"]


def test_an_unknown_native_tool_is_answered_with_the_known(sandbox: Sandbox) -> None:
    with (sandbox.runtimes / "tiny.toml").open("a") as file:
        file.write('[native."lama.cpp"]\nparts = ["lib"]\n')
    with pytest.raises(SetupError, match=r"tiny\.toml: there is no native tool 'lama\.cpp': name one of .*llama\.cpp"):
        runtimes.declaration("tiny")


def test_parts_of_native_tools_are_gathered(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.setup.native.registry.MODULES", {"tool": "tool"})
    for name, parts in (("one", '["b", "a"]'), ("two", '["b"]')):
        sandbox.declare(name)
        with (sandbox.runtimes / f"{name}.toml").open("a") as file:
            file.write(f"[native.tool]\nparts = {parts}\n")
    assert runtimes.native_parts(["two"]) == {"tool": ["b"]}
    assert runtimes.native_parts(["one", "two", "tiny"]) == {"tool": ["a", "b"]}
    assert runtimes.native_parts(["tiny"]) == {}
