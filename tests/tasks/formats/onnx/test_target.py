"""Names, options and predictions of the ONNX targets, without any tool."""

import subprocess
import sys

import pytest

from tasks.errors import InvalidRecipe
from tasks.formats.onnx.target import FORMAT
from tasks.formats.registry import parse_target
from tests.tasks.formats.analyses import analysis_with


def test_int8_is_made_from_fp32_and_fp32_from_the_snapshot() -> None:
    assert parse_target("onnx-fp32", {}).requires == ("snapshot", "analysis")
    for name in ("onnx-int8", "onnx-int8-dynamic"):
        assert parse_target(name, {}).requires == ("onnx-fp32",)


def test_options_are_filled_in_and_checked() -> None:
    assert parse_target("onnx-int8-dynamic", {"reduce_range": True}).options["reduce_range"] is True
    assert parse_target("onnx-int8", {}).options == {"block_size": 32, "accuracy_level": 4}
    assert parse_target("onnx-int8", {"accuracy_level": 1}).options["accuracy_level"] == 1
    assert parse_target("onnx-fp32", {}).options == {"external_data": "auto"}
    for name, options in (
        ("onnx-fp16", {}),
        ("onnx-int8-dynamic", {"per_chanel": True}),
        ("onnx-int8", {"per_channel": True}),
        ("onnx-int8", {"block_size": 48}),
        ("onnx-int8", {"accuracy_level": 2}),
        ("onnx-fp32", {"external_data": "no"}),
    ):
        with pytest.raises(InvalidRecipe, match=name):
            parse_target(name, options)


def size(name: str, options: dict[str, int] | None = None, **changes: object) -> int:
    return FORMAT.predict(parse_target(name, options or {}), analysis_with(**changes)).size_bytes


def test_dynamic_int8_holds_a_tied_embedding_twice() -> None:
    assert size("onnx-int8-dynamic", tied_embeddings=True) == 1_200_000
    assert size("onnx-int8-dynamic", tied_embeddings=False) == 1_000_000
    assert size("onnx-fp32") == 4_000_000


def test_int8_holds_a_tied_embedding_once_and_scales_and_whole_blocks() -> None:
    assert size("onnx-int8", tied_embeddings=True) == size("onnx-int8", tied_embeddings=False) == 1_125_000
    assert size("onnx-int8", {"block_size": 16}) == 1_250_000
    # Of every row of 160 numbers, two blocks of 128 are stored.
    assert size("onnx-int8", {"block_size": 128}, row_lengths={160: 3}) == 1_650_000
    assert size("onnx-int8", row_lengths={}) >= 0


def test_parsing_imports_no_tool() -> None:
    program = (
        "import sys, tasks.formats.onnx.target, tasks.formats.safetensors.target; "
        "print([name for name in ('torch', 'numpy', 'onnx', 'transformers', 'onnxruntime') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
