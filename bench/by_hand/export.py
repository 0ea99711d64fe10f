"""python -m bench.by_hand.export fp32|int8|bf16 SOURCE FOLDER: ONNX graphs and the bf16 checkpoint."""

import shutil
import sys
import tempfile
from pathlib import Path

COMPANIONS = ("*.json", "*.jinja", "LICENSE")


def fp32(source: Path, folder: Path) -> None:
    """Export the graph with its KV cache, by the release's own call of torch.onnx.export."""
    import torch

    from tasks.formats.onnx.checkpoint import load_fp32
    from tasks.formats.onnx.export import CachedModel, export_graph

    torch.set_num_threads(1)
    with torch.no_grad():
        export_graph(CachedModel(load_fp32(source)).eval(), folder / "model.onnx", external_data=False)


def int8(source: Path, folder: Path) -> None:
    """Quantize the exported graph dynamically, by the release's own call of onnxruntime's quantizer."""
    from tasks.formats.onnx.quantize import quantize_int8
    from tasks.formats.onnx.target import Int8Options

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        quantize_int8(source / "model.onnx", folder / "model.onnx", Path(scratch), Int8Options())


def bf16(source: Path, folder: Path) -> None:
    """Load and save with transformers, as bf16."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16).save_pretrained(folder)


if __name__ == "__main__":
    origin, made = Path(sys.argv[2]), Path(sys.argv[3])
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    for pattern in COMPANIONS:
        for file in origin.glob(pattern):
            if file.name != "model.safetensors.index.json":
                shutil.copyfile(file, made / file.name)
    {"fp32": fp32, "int8": int8, "bf16": bf16}[sys.argv[1]](origin, made)
