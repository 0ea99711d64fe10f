"""Whatever decides an artifact's bytes is in its key, and nothing else is."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks import keys
from tasks.code_closure import clear_caches
from tasks.contract import Needs
from tasks.keys import code_digest, compute_key
from tasks.manifest import FileEntry, Manifest
from tasks.runtime_declaration import read_declaration
from tests.tasks.probe import KEYED, ProbeParameters

FILES = {"config.json": "1", "weights/a": "2", "README.md": "3"}


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of the test's own, with the task's code in it."""
    monkeypatch.setattr(keys, "REPOSITORY", tmp_path)
    (tmp_path / "code" / "deep").mkdir(parents=True)
    for name in ("code/deep/tool.py", "code/notes.md", "code/named.py", "beside.py"):
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / "code" / "convert.py").write_text("from code.deep.tool import x\n")
    clear_caches()
    return tmp_path


def snapshot(**changed: str) -> Manifest:
    digits = {**FILES, **changed}
    files = tuple(FileEntry(path=path, size=1, sha256=digit * 64) for path, digit in digits.items())
    return Manifest(key="a" * 64, attempt="one", kind="fetch", created=datetime.now(UTC), files=files)


def key(
    given: Manifest | None = None,
    name: str = "snapshot",
    word: str = "word",
    threads: int = 2,
    on: str = "a processor",
    **changed: Any,
) -> str:
    definition = dataclasses.replace(KEYED, **{"function": "code.convert:convert", **changed})
    clear_caches()
    inputs = {name: given or snapshot()}
    return compute_key(definition, ProbeParameters(word=word), inputs, threads=threads, hardware=on)


def test_the_same_is_the_same() -> None:
    other = snapshot().model_copy(update={"key": "b" * 64, "attempt": "two", "facts": {"more": 1}})
    assert key() == key(other)
    assert len(key()) == 64


@pytest.mark.parametrize(
    "changed",
    [
        {"word": "other"},
        {"given": snapshot(**{"config.json": "9"})},
        {"given": snapshot(**{"weights/a": "9"})},
        {"given": snapshot(**{"weights/b": "4"})},
        {"name": "another input"},
        {"runtime": "torch"},
        {"hardware": True},
        {"native": ("llama.cpp",)},
        {"function": "code.convert:another"},
        {"values": ("*.bin",)},
        {"facts": {"snapshot": ("repository",)}},
    ],
    ids=", ".join,
)
def test_what_decides_the_bytes_changes_the_key(changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "native_digest", {"llama.cpp": "build 1"}.__getitem__)
    assert key(**changed) != key()


def test_a_fact_that_is_read_changes_the_key_and_another_fact_does_not() -> None:
    def of(repository: str, commit: str) -> str:
        told = snapshot().model_copy(update={"facts": {"repository": repository, "commit": commit}})
        return key(told, facts={"snapshot": ("repository",), "absent input": ("repository",)})

    assert of("acme/model", "one") == of("acme/model", "two")
    assert of("acme/model", "one") != of("mirror/model", "one")
    assert of("acme/model", "one") != key(facts={"snapshot": ("repository",)})


def test_a_file_that_is_not_read_does_not_matter() -> None:
    assert key(snapshot(**{"README.md": "9"})) == key()
    assert key(snapshot(**{"docs/more.md": "9"})) == key()


def test_without_patterns_every_file_is_read() -> None:
    assert key(snapshot(**{"README.md": "9"}), reads={}) != key(reads={})


def test_renaming_a_file_changes_the_key() -> None:
    renamed = snapshot()
    files = tuple(
        entry.model_copy(update={"path": "weights/z"}) if entry.path == "weights/a" else entry
        for entry in renamed.files
    )
    assert key(renamed.model_copy(update={"files": files})) != key()


@pytest.mark.parametrize("name", ["code/convert.py", "code/deep/tool.py"])
def test_code_changes_the_key(code: Path, name: str) -> None:
    before = key()
    (code / name).write_text("x = 2\n")
    assert key() != before


def test_code_that_a_definition_names_changes_the_key(code: Path) -> None:
    before, with_root = key(), key(roots=("code.named:thing",))
    assert before != with_root
    (code / "code" / "named.py").write_text("x = 2\n")
    assert key() == before and key(roots=("code.named:thing",)) != with_root


@pytest.mark.parametrize("name", ["code/notes.md", "code/named.py", "code/new.py", "beside.py"])
def test_other_text_and_other_code_do_not(code: Path, name: str) -> None:
    before = key()
    (code / name).write_text("x = 2\n")
    assert key() == before


def test_code_that_moves_changes_the_key(code: Path) -> None:
    before = key()
    (code / "code" / "deep" / "tool.py").rename(code / "code" / "tool.py")
    (code / "code" / "convert.py").write_text("from code.tool import x\n")
    assert key() != before


def test_code_that_does_not_exist_is_reported() -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.such"):
        code_digest(("no.such:function",))


def test_hardware_is_in_the_key_of_a_measurement_and_threads_are_in_that_of_a_timing() -> None:
    assert key(hardware=True, on="another processor") != key(hardware=True)
    assert key(hardware=True, threads=32) == key(hardware=True)
    assert key(hardware=True, timing=True, threads=32) != key(hardware=True, timing=True)
    assert key(on="another processor") == key(threads=32) == key()


def test_on_an_accelerator_the_hardware_is_in_every_key_and_the_threads_are_not() -> None:
    """What a GPU computes differs from one model to another, so an evaluation there is another measurement."""
    on_gpu: dict[str, Any] = {"needs": Needs(device="cuda"), "hardware": False}
    assert key(on="NVIDIA L4", **on_gpu) != key(on="NVIDIA H200", **on_gpu)
    assert key(on="NVIDIA L4", threads=9, **on_gpu) == key(on="NVIDIA L4", **on_gpu)


def test_the_host_on_which_a_key_is_computed_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator and the job each compute it, and may run on two hosts."""
    before = key(hardware=True)
    monkeypatch.setattr("tasks.host.processor.processor", lambda: "the operator's own processor")
    monkeypatch.setattr(keys, "processor", lambda: "the operator's own processor", raising=False)
    assert key(hardware=True) == before


@pytest.mark.parametrize("what", ["lock", "native"])
def test_a_new_toolchain_is_a_new_key(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"lock": "1", "native": "1"}
    monkeypatch.setattr(keys, "lock_digest", lambda name: state["lock"])
    monkeypatch.setattr(keys, "native_digest", lambda name: state["native"])
    bound: dict[str, Any] = {"native": ("llama.cpp",)}
    before, unbound = key(**bound), key()
    state[what] = "2"
    assert key(**bound) != before
    # What does not depend on native tools is not made again for them.
    assert (key() == unbound) == (what != "lock")


def test_variables_that_a_runtime_declares_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    declared = dataclasses.replace(read_declaration("control"), environment={"MKL_CBWR": "COMPATIBLE"})
    monkeypatch.setattr(keys, "read_declaration", lambda name: declared)
    assert key() != before
