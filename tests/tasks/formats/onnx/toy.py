"""A toy language model as an ONNX artifact, made without torch: a token's logits depend on every token before it.

key = value = embedding(token) + position; logits = (sum over past and present values up to the token) @ head. It has
the inputs and outputs of an exported transformer, so that the engine is tested where only the engine is installed.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

VOCABULARY, WIDTH, CONTEXT = 259, 8, 64


def weights() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return embedding [vocabulary, width], positions [context, width] and head [width, vocabulary]."""
    generator = np.random.default_rng(3)
    shapes = ((VOCABULARY, WIDTH), (CONTEXT, WIDTH), (WIDTH, VOCABULARY))
    embedding, positions, head = (generator.normal(size=shape).astype(np.float32) for shape in shapes)
    return embedding, positions, head


def expected_logits(token_ids: list[int]) -> NDArray[np.float32]:
    """Return the logits [tokens, vocabulary] by numpy."""
    embedding, positions, head = weights()
    values = embedding[token_ids] + positions[: len(token_ids)]
    found: NDArray[np.float32] = np.cumsum(values, axis=0) @ head
    return found


def write_toy(folder: Path, external: bool = False) -> Path:
    """Write the artifact's files into `folder`; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    model = _model()
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(
        model,
        str(folder / "model.onnx"),
        save_as_external_data=external,
        location="model.onnx.data",
        size_threshold=1024,
    )
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": CONTEXT, "eos_token_id": 257}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [257, 258]}))
    tokenizer = Tokenizer(
        models.BPE({letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, [])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>", "<turn>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": {"content": "</s>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def tamper(folder: Path, key: str, value: str, tensor: int = 0) -> None:
    """Change one fact of one external tensor."""
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    for entry in model.graph.initializer[tensor].external_data:
        if entry.key == key:
            entry.value = value
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def _model() -> onnx.ModelProto:
    names = ("embedding", "positions", "head")
    constants = [numpy_helper.from_array(array, name) for name, array in zip(names, weights(), strict=True)]
    integers = {"axis1": [1], "axis2": [2], "one": [1], "cumulated": 2, "huge": [2**62]}
    constants += [numpy_helper.from_array(np.array(value, dtype=np.int64), name) for name, value in integers.items()]
    nodes = [
        helper.make_node("Gather", ["embedding", "input_ids"], ["token"]),
        helper.make_node("Gather", ["positions", "position_ids"], ["place"]),
        helper.make_node("Add", ["token", "place"], ["value3"]),
        helper.make_node("Unsqueeze", ["value3", "one"], ["value"]),
        helper.make_node("Concat", ["past_key_values.0.key", "value"], ["present.0.key"], axis=2),
        helper.make_node("Concat", ["past_key_values.0.value", "value"], ["present.0.value"], axis=2),
        helper.make_node("CumSum", ["present.0.value", "cumulated"], ["sums"]),
        helper.make_node("Shape", ["past_key_values.0.key"], ["past"], start=2, end=3),
        helper.make_node("Slice", ["sums", "past", "huge", "axis2"], ["new"]),
        helper.make_node("Squeeze", ["new", "axis1"], ["state"]),
        helper.make_node("MatMul", ["state", "head"], ["logits"]),
    ]
    sequence, past = ["batch", "sequence"], ["batch", 1, "past", WIDTH]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, sequence) for name in ("input_ids", "position_ids")
    ]
    inputs.insert(1, helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "total"]))
    inputs += [
        helper.make_tensor_value_info(f"past_key_values.0.{x}", TensorProto.FLOAT, past) for x in ("key", "value")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*sequence, VOCABULARY])]
    outputs += [
        helper.make_tensor_value_info(f"present.0.{x}", TensorProto.FLOAT, ["batch", 1, "total", WIDTH])
        for x in ("key", "value")
    ]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
