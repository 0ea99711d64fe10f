"""An ONNX graph beside a file of external data: what it may name, and what it must have; and weights in blocks."""

from pathlib import Path

from tasks.formats.onnx.inspect import inspect
from tests.fuzz.target import Target


def prepare(folder: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    (folder / "model.onnx.data").write_bytes(bytes(64))


def parse(data: bytes, folder: Path) -> None:
    (folder / "model.onnx").write_bytes(data)
    facts = inspect(folder)
    assert set(facts["files"]) <= {"model.onnx", "model.onnx.data", "config.json", "tokenizer.json"}


TARGET = Target(
    parse=parse,
    prepare=prepare,
    measured={
        "tasks/formats/onnx/inspect.py": [
            "inspect",
            "float_matrices",
            "_foreign",
            "check_blocks",
            "_check_wholly_quantized",
        ],
        "tasks/formats/onnx/external_data.py": [],
        "tasks/formats/onnx/blocks.py": ["fault"],
    },
    runs=20_000,
    floor=90,
    words=(
        "location",
        "offset",
        "length",
        "model.onnx.data",
        "../model.onnx.data",
        "ai.onnx",
        "com.microsoft",
        "MatMulNBits",
        "block_size",
        "gather_axis",
        "quantize_axis",
        "logits",
    ),
    longest=1024,
)
