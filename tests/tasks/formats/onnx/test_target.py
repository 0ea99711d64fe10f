"""Names, options and predictions of the ONNX targets, without any tool."""

import subprocess
import sys

import pytest

from tasks.errors import InvalidRecipe, Unsupported
from tasks.formats.onnx.target import FORMAT
from tasks.formats.registry import parse_target
from tests.tasks.formats.analyses import analysis_with


def test_int8_is_made_from_fp32_and_fp32_from_the_snapshot() -> None:
    assert parse_target("onnx-fp32", {}).requires == ("snapshot", "analysis")
    assert parse_target("onnx-int8", {}).requires == ("onnx-fp32",)


def test_options_are_filled_in_and_checked() -> None:
    assert parse_target("onnx-int8", {"reduce_range": True}).options["reduce_range"] is True
    assert parse_target("onnx-fp32", {}).options == {"external_data": "auto"}
    for name, options in (
        ("onnx-fp16", {}),
        ("onnx-int8", {"per_chanel": True}),
        ("onnx-fp32", {"external_data": "no"}),
    ):
        with pytest.raises(InvalidRecipe, match=name):
            parse_target(name, options)


def test_int8_holds_a_tied_embedding_twice() -> None:
    int8 = parse_target("onnx-int8", {})
    tied, untied = (FORMAT.predict(int8, analysis_with(tied_embeddings=value)) for value in (True, False))
    assert (tied.size_bytes, untied.size_bytes) == (1_200_000, 1_000_000)
    assert FORMAT.predict(parse_target("onnx-fp32", {}), analysis_with()).size_bytes == 4_000_000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"needs_code": True}, "Python code from its repository"),
        ({"experts": 8}, "mixture of experts"),
        ({"model_type": "mamba"}, "another state than keys and values"),
        ({"model_type": "qwen3_5_text"}, "another state than keys and values"),
        ({"model_type": "mpt"}, "exporter cannot export LlamaForCausalLM"),
        ({"architecture": "BertForMaskedLM"}, "not a causal language model"),
        ({"tokenizer": "none"}, "no tokenizer"),
        ({"quantization": "gptq"}, "already quantized"),
    ],
)
def test_what_cannot_be_made_is_reported_beforehand(changes: dict[str, object], reason: str) -> None:
    for name in FORMAT.target_names:
        with pytest.raises(Unsupported, match=reason):
            FORMAT.predict(parse_target(name, {}), analysis_with(**changes))


def test_parsing_imports_no_tool() -> None:
    program = (
        "import sys, tasks.formats.onnx.target, tasks.formats.safetensors.target; "
        "print([name for name in ('torch', 'numpy', 'onnx', 'transformers', 'onnxruntime') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
