"""Files that are right but for one thing: what is right is read back as it was written, and the one thing is found.

Where coverage-guided fuzzing begins with bytes, these begin with sound files, so that most of what they try is nearly
right. Derandomized: every run tries the same.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.checkpoint.headers import INDEX_FILE, read_header, read_index
from tasks.contract import Failure, Result, Spec
from tasks.errors import Corrupt
from tasks.formats.gguf.header import read_header as read_gguf
from tasks.manifest import FileEntry, Manifest
from tasks.recipe import load_recipe
from tests.fuzz.guarantee import check_sentence
from tests.tasks.formats.gguf.writer import write_gguf

steadily = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

Entry = dict[str, Any]
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: name != "__metadata__")
SIZES = {"U8": 1, "BF16": 2, "F32": 4, "I64": 8}
TENSORS = st.dictionaries(
    NAMES, st.tuples(st.sampled_from(sorted(SIZES)), st.lists(st.integers(0, 4), max_size=3)), min_size=1, max_size=5
)


def lay_out(tensors: dict[str, tuple[str, list[int]]]) -> tuple[dict[str, Entry], int]:
    """Return a sound header for tensors (dtype, shape), and the bytes of their data."""
    header: dict[str, Entry] = {}
    end = 0
    for name, (dtype, shape) in tensors.items():
        size = SIZES[dtype]
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return header, end


def write(path: Path, header: Any, data_bytes: int) -> None:
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(data_bytes))


def refused(read: Callable[[Path], object], path: Path) -> None:
    with pytest.raises(Corrupt) as error:
        read(path)
    check_sentence(str(error.value))


@steadily
@given(TENSORS)
def test_a_sound_safetensors_header_is_read_as_it_was_written(tmp_path: Path, tensors: Any) -> None:
    header, size = lay_out(tensors)
    write(tmp_path / "model.safetensors", header, size)
    found = read_header(tmp_path / "model.safetensors")
    begin = found.header_bytes
    told = {
        name: {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [entry.start - begin, entry.end - begin],
        }
        for name, entry in found.tensors.items()
    }
    assert told == header


FAULTS: list[Callable[[Entry], object]] = [
    lambda entry: entry.pop("dtype"),
    lambda entry: entry.update(extra=1),
    lambda entry: entry.update(dtype="F31"),
    lambda entry: entry.update(dtype=["U8"]),
    lambda entry: entry.update(shape=[*entry["shape"], -1]),
    lambda entry: entry.update(shape=[*entry["shape"], 2**40, 2**40]),
    lambda entry: entry.update(shape=[*entry["shape"], True]),
    lambda entry: entry.update(shape="2"),
    lambda entry: entry.update(data_offsets=[entry["data_offsets"][0] + 1, entry["data_offsets"][1] + 1]),
    lambda entry: entry.update(data_offsets=[entry["data_offsets"][0], entry["data_offsets"][1] + 1]),
    lambda entry: entry.update(data_offsets=[entry["data_offsets"][1] + 1, entry["data_offsets"][0]]),
    lambda entry: entry.update(data_offsets=[0.0, 1.0]),
    lambda entry: entry.update(data_offsets=[2**70, 2**70]),
]


@steadily
@given(TENSORS.filter(lambda tensors: all(0 not in shape for _, shape in tensors.values())), st.data())
def test_one_wrong_field_is_found(tmp_path: Path, tensors: Any, data: st.DataObject) -> None:
    header, size = lay_out(tensors)
    name = data.draw(st.sampled_from(sorted(header)))
    data.draw(st.sampled_from(FAULTS))(header[name])
    write(tmp_path / "model.safetensors", header, size)
    refused(read_header, tmp_path / "model.safetensors")


def test_a_product_of_sizes_that_would_take_an_hour_is_not_computed(tmp_path: Path) -> None:
    sizes = [2**60] * 1_000_000
    write(tmp_path / "model.safetensors", {"a": {"dtype": "U8", "shape": sizes, "data_offsets": [0, 1]}}, 1)
    with pytest.raises(Corrupt, match=r"tensor 'a' has the shape .*, larger than any file"):
        read_header(tmp_path / "model.safetensors")


@steadily
@given(TENSORS, st.integers(-9, 9).filter(bool))
def test_a_file_too_long_or_too_short_is_found(tmp_path: Path, tensors: Any, more: int) -> None:
    header, size = lay_out(tensors)
    path = tmp_path / "model.safetensors"
    write(path, header, size)
    data = path.read_bytes()
    path.write_bytes(data + bytes(more) if more > 0 else data[:more])
    refused(read_header, path)


@steadily
@given(st.data())
def test_an_index_places_every_tensor_once(tmp_path: Path, data: st.DataObject) -> None:
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    weight_map: dict[str, Any] = {}
    for number, name in enumerate(names):
        header, size = lay_out({f"t{number}.{place}": ("U8", [2]) for place in range(2)})
        write(tmp_path / name, header, size)
        weight_map |= dict.fromkeys(header, name)
    index = tmp_path / INDEX_FILE
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert read_index(tmp_path) == weight_map
    tensor = data.draw(st.sampled_from(sorted(weight_map)))
    wrong = data.draw(
        st.sampled_from([*names, "../x", "/etc/passwd", "", ".", "gone.safetensors", 1, None, ["x"], "a" * 999])
    )
    if wrong == weight_map[tensor]:
        del weight_map[tensor]
    else:
        weight_map[tensor] = wrong
    index.write_text(json.dumps({"weight_map": weight_map}))
    refused(read_index, tmp_path)


VALUES = st.one_of(
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.floats(width=32, allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=9),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1, max_size=4),
)
METADATA = st.dictionaries(
    st.text("abc.", min_size=1, max_size=9).filter(lambda key: key != "general.alignment"), VALUES, max_size=5
)
SHAPES = st.dictionaries(
    st.text("abc.0", min_size=1, max_size=20), st.lists(st.integers(1, 5), min_size=1, max_size=4), max_size=4
)


@steadily
@given(METADATA, SHAPES)
def test_a_sound_gguf_header_is_read_as_it_was_written(tmp_path: Path, metadata: Any, shapes: Any) -> None:
    header = read_gguf(write_gguf(tmp_path / "a.gguf", metadata, shapes))
    for key, value in metadata.items():
        if isinstance(value, list):
            assert header.length(key) == len(value)
        else:
            assert header.metadata[key] == value
    assert {tensor.name: list(tensor.dimensions) for tensor in header.tensors} == shapes


@steadily
@given(METADATA, SHAPES.filter(bool), st.floats(0, 1, exclude_max=True))
def test_a_gguf_file_cut_anywhere_is_refused(tmp_path: Path, metadata: Any, shapes: Any, share: float) -> None:
    path = write_gguf(tmp_path / "a.gguf", metadata, shapes)
    data = path.read_bytes()
    # The last tensor is padded by less than 32 bytes, which nothing misses.
    path.write_bytes(data[: int((len(data) - 31) * share)])
    refused(read_gguf, path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.text("0123456789abcdef", min_size=64, max_size=64)
FACTS = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=9), JSON, max_size=3)


@steadily
@given(FACTS, st.dictionaries(st.sampled_from(["snapshot", "analysis"]), KEYS), st.booleans())
def test_a_spec_and_a_result_come_back_from_their_text(facts: Any, inputs: Any, flag: bool) -> None:
    spec = Spec(task="convert", parameters=facts, inputs=inputs, threads=3, force=flag)
    assert Spec.from_json(spec.to_json()) == spec
    failure = Failure(kind="transient", error="HubUnavailable", message="The Hub is away.") if flag else None
    result = Result(facts=facts, reused=flag, failure=failure)
    assert Result.from_json(result.to_json()) == result


@steadily
@given(FACTS, st.lists(st.sampled_from(["a", "a/b", "a/b/c", "b", "b/c", "/c", "c/", "a//b"]), unique=True), KEYS)
def test_a_manifest_comes_back_from_its_text_or_is_refused_for_its_paths(facts: Any, paths: Any, key: str) -> None:
    given_text = json.dumps(
        {
            "key": key,
            "attempt": "one",
            "kind": "convert",
            "created": "2026-11-23T01:00:00Z",
            "files": [{"path": path, "size": 1, "sha256": key} for path in paths],
            "facts": facts,
        }
    )
    leads_astray = any(not part for path in paths for part in path.split("/"))
    clashes = any(other.startswith(f"{path}/") for path in paths for other in paths)
    try:
        manifest = Manifest.read(given_text, "The manifest")
    except Corrupt as error:
        assert leads_astray or clashes
        check_sentence(str(error))
    else:
        assert not leads_astray and not clashes
        assert Manifest.from_json(manifest.to_json()) == manifest
        assert list(manifest.files) == sorted(manifest.files, key=lambda entry: entry.path)
        assert all(isinstance(entry, FileEntry) for entry in manifest.files)


TARGETS = ["safetensors-bf16", "gguf-f16", "gguf-q8_0", "gguf-q4_k_m", "onnx-fp32", "onnx-int8", "onnx-int8-dynamic"]
TEXT = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=30)


@steadily
@given(
    st.lists(st.sampled_from(TARGETS), min_size=1, unique=True),
    st.floats(0, 1e6),
    TEXT,
    st.lists(TEXT.filter(bool), min_size=1, max_size=3),
    st.integers(32, 32768),
)
def test_a_recipe_comes_back_from_its_text(
    tmp_path: Path, targets: Any, bound: float, text: str, licences: Any, window: int
) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "x"}\n')
    content = {
        "description": text,
        "licences": licences,
        "texts": {"evaluation": "t.jsonl", "calibration": "t.jsonl"},
        "targets": targets,
        "gates": [{"metric": "kld_mean", "maximum": bound, "reason": "a bound for this test"}],
        "evaluation": {"window_tokens": window},
    }
    path = tmp_path / "made.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    recipe = load_recipe(path)
    assert (recipe.description, list(recipe.licences), recipe.target_names) == (text, licences, targets)
    assert (recipe.own_gates[0].maximum, recipe.evaluation.window_tokens) == (bound, window)
    again = {**recipe.model_dump(mode="json", exclude={"name", "folder"}), "targets": targets}
    path.write_text(yaml.safe_dump(again), encoding="utf-8")
    assert load_recipe(path) == recipe
