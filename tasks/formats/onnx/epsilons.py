"""Compares the epsilons of norms in a graph with config.json. They are constants; no other check sees a wrong one."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx

from tasks.checkpoint.model_config import epsilons
from tasks.errors import MAKE_AGAIN, Corrupt
from tasks.formats.onnx.external_data import nodes, text_of
from tasks.formats.onnx.weights import Weights

DEFAULT = 1e-5
"""That of the operator LayerNormalization."""


def check_epsilons(model: onnx.ModelProto, weights: Weights, config: Mapping[str, Any]) -> None:
    """Raise Corrupt if a norm of the graph has an epsilon that is none of config.json's, in float32.

    A configuration that names none leaves it to the code of its family, and nothing is compared.
    """
    named = epsilons(config)
    if not named:
        return
    for stated in stated_epsilons(model, weights):
        if np.float32(stated) not in map(np.float32, named.values()):
            wanted = " and ".join(f"{name} {value:.4g}" for name, value in named.items())
            raise Corrupt(
                f"model.onnx has a norm with the epsilon {stated:.4g}, but config.json has {wanted}; {MAKE_AGAIN}."
            )


def stated_epsilons(model: onnx.ModelProto, weights: Weights) -> Iterator[float]:
    """Yield the epsilon of each norm: what LayerNormalization has, or what is added to a mean."""
    means = {text_of(name) for node in nodes(model) if node.op_type == "ReduceMean" for name in node.output}
    for node in nodes(model):
        if node.op_type == "LayerNormalization":
            yield next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), DEFAULT)
        elif node.op_type == "Add":
            inputs = [text_of(name) for name in node.input]
            added = [weights[name] for name in inputs if name in weights and weights.shape(name) in ((), (1,))]
            if added and means.intersection(inputs) and added[0].dtype.kind == "f":
                yield float(np.asarray(added[0]).reshape(-1)[0])
