"""An ONNX artifact that was changed after its conversion is refused before onnxruntime sees it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("onnxruntime")

onnx = pytest.importorskip("onnx")

from tasks.errors import Corrupt
from tests.fixtures.tampered import Evaluated, Reached
from tests.tasks.formats.onnx.toy import write_toy

Change = Callable[[Any], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toy(tmp_path / "artifact", external=True)


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluated:
    return Evaluated(tmp_path, "onnx-fp32", monkeypatch)


def test_what_was_not_changed_comes_to_its_engine(evaluated: Evaluated, folder: Path) -> None:
    with pytest.raises(Reached):
        evaluated.evaluate(evaluated.keep(folder))


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("place", [0, 40, -1], ids=["begin", "within", "end"])
def test_a_changed_byte_is_not_what_the_manifest_says(
    evaluated: Evaluated, folder: Path, name: str, place: int
) -> None:
    artifact = evaluated.keep(folder)
    data = bytearray((folder / name).read_bytes())
    data[place % len(data)] ^= 1
    evaluated.store.put_bytes(artifact.prefix + name, bytes(data))
    with pytest.raises(Corrupt, match=rf"{name} has not the digest of its manifest"):
        evaluated.evaluate(artifact)


def place(key: str, value: str) -> Change:
    """Change where the second tensor lies, which has an offset other than 0."""

    def change(model: Any) -> None:
        for entry in model.graph.initializer[1].external_data:
            if entry.key == key:
                entry.value = value

    change.__name__ = f"{key} {value}"
    return change


def foreign_node(model: Any) -> None:
    model.graph.node[0].domain = "com.evil"


def foreign_node_in_a_branch(model: Any) -> None:
    branch = onnx.helper.make_graph([onnx.helper.make_node("Run", [], [], domain="com.evil")], "b", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch))


def foreign_function(model: Any) -> None:
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    opset = onnx.helper.make_opsetid("", 21)
    model.functions.append(onnx.helper.make_function("com.evil", "F", ["x"], ["y"], [node], [opset]))


def no_opset(model: Any) -> None:
    del model.opset_import[:]


def no_cache(model: Any) -> None:
    del model.graph.output[1:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (place("location", "../other"), "'positions' lies in '../other', which is not in the artifact's own folder"),
        (place("location", "/etc/passwd"), "'positions' lies in '/etc/passwd'"),
        (place("location", "gone.data"), "'positions' lies in 'gone.data', which is missing"),
        (place("location", "x" * 300), "'positions' lies in 'xxx"),
        (place("location", "a\nb"), "'positions' lies in"),
        (place("offset", "-8"), "'positions' reaches beyond the end"),
        (place("offset", "9" * 30), "'positions' reaches beyond the end"),
        (place("length", "1e9"), "'positions' has an offset or a length that is not a number"),
        (foreign_node, r"uses operators of \['com.evil'\]"),
        (foreign_node_in_a_branch, r"uses operators of \['com.evil'\]"),
        (foreign_function, r"uses operators of \['com.evil'\]"),
        (no_opset, "does not state the version"),
        (no_cache, "do not match its inputs"),
    ],
    ids=lambda value: getattr(value, "__name__", "")[:40],
)
def test_what_was_changed_together_with_its_manifest_is_seen_in_it(
    evaluated: Evaluated, folder: Path, change: Change, said: str
) -> None:
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Corrupt, match=said) as refused:
        evaluated.evaluate(evaluated.keep(folder))
    assert str(refused.value).isprintable() and str(refused.value).endswith(".")


def test_what_was_added_to_the_store_does_not_come_along(evaluated: Evaluated, folder: Path) -> None:
    artifact = evaluated.keep(folder)
    evaluated.store.put_bytes(f"{artifact.prefix}onnxruntime_extension.so", b"\x7fELF")
    with pytest.raises(Reached):
        evaluated.evaluate(artifact)
    assert not list((evaluated.root / "home").rglob("*.so"))
