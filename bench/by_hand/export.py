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
    """Quantize the exported graph by onnxruntime's quantizer, for which the tied output head must be a weight."""
    import onnx
    from onnx import numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source / "model.onnx")
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Transpose" and node.input[0] in weights]:
        transposed = numpy_helper.to_array(weights[node.input[0]]).T
        model.graph.initializer.append(numpy_helper.from_array(transposed, node.output[0]))
        model.graph.node.remove(node)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        unfolded = Path(scratch) / "model.onnx"
        onnx.save_model(model, unfolded, save_as_external_data=True, location="model.onnx.data")
        del model, weights
        quantize_dynamic(unfolded, folder / "model.onnx", weight_type=QuantType.QInt8, per_channel=True)


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
