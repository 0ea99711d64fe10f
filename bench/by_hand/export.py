"""python -m bench.by_hand.export fp32|int8|bf16 SOURCE FOLDER: ONNX graphs and the bf16 checkpoint."""

import shutil
import sys
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
    """Quantize the graph's products by onnxruntime's quantizer, for which the tied output head must be a weight."""
    import onnx
    from onnx import numpy_helper
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    model = onnx.load(source / "model.onnx")
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Transpose" and node.input[0] in weights]:
        transposed = numpy_helper.to_array(weights[node.input[0]]).T
        model.graph.initializer.append(numpy_helper.from_array(transposed, node.output[0]))
        model.graph.node.remove(node)
    settings = DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True, accuracy_level=4, bits=8)
    quantizer = MatMulNBitsQuantizer(model, algo_config=settings)
    quantizer.process()
    quantizer.model.save_model_to_file(str(folder / "model.onnx"), use_external_data_format=True)


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
