"""The norms of a graph must have the epsilon of config.json, if all norms of their family do."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tasks.checkpoint.model_config import epsilons
from tasks.errors import Corrupt
from tasks.formats.onnx.epsilons import check_epsilons, stated_epsilons
from tasks.formats.onnx.tensors import KNOWN, stored_tensors
from tasks.formats.onnx.weights import Weights
from tasks.formats.stored import Source
from tests.fixtures.tiny_architectures import tiny
from tests.tasks.formats.analyses import analysis_with

pytestmark = pytest.mark.runtime("torch")

CONFIG = {"rms_norm_eps": 1e-6}


def graph(nodes: list[Any], **constants: Any) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in ("x", "y")]
    return helper.make_model(helper.make_graph(nodes, "norm", values[:1], values[1:], initializers))


def root_mean_square(epsilon: Any, turned: bool = False) -> onnx.ModelProto:
    """Return what the exporter makes of a root mean square norm. Another sum has another constant."""
    inputs = ["val_1", "mean"] if turned else ["mean", "val_1"]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"]),
        helper.make_node("Add", inputs, ["sum"]),
        helper.make_node("Add", ["sum", "val_2"], ["y"]),
        helper.make_node("Add", ["mean", "bias"], ["z"]),
    ]
    return graph(nodes, val_1=epsilon, val_2=0.5, bias=[0.5, 0.5])


def layer_norm(**attributes: float) -> onnx.ModelProto:
    return graph([helper.make_node("LayerNormalization", ["x", "scale"], ["y"], **attributes)], scale=[1.0, 1.0])


def check(model: onnx.ModelProto, config: Any = None) -> None:
    check_epsilons(model, Weights(model, Path()), CONFIG if config is None else config)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_another_epsilon_of_a_root_mean_square_is_refused(turned: bool, shape: tuple[int, ...]) -> None:
    check(root_mean_square(np.full(shape, 1e-6), turned))
    said = "a norm with the epsilon 2e-06, but config.json has rms_norm_eps 1e-06;"
    with pytest.raises(Corrupt, match=said):
        check(root_mean_square(np.full(shape, 2e-6), turned))


def test_another_epsilon_of_a_layer_norm_is_refused() -> None:
    check(layer_norm(epsilon=1e-6))
    check(layer_norm(), config={"layer_norm_eps": 1e-5})
    for model in (layer_norm(epsilon=1e-3), layer_norm()):
        with pytest.raises(Corrupt, match="a norm with the epsilon"):
            check(model)


def test_a_configuration_that_names_none_is_not_compared() -> None:
    check(layer_norm(epsilon=1e-3), config={"hidden_size": 64})


@pytest.mark.parametrize("model_type", sorted(KNOWN - {"opt"}))
def test_all_norms_of_a_known_family_have_the_epsilon_of_its_configuration(model_type: str) -> None:
    config = tiny(model_type)
    named = list(epsilons(config.to_dict()))
    for name in named:
        setattr(config, name, 3e-5)
    assert named and found_in(config) == {3e-5}


def test_only_a_graph_of_a_known_family_is_refused(tmp_path: Path) -> None:
    onnx.save(layer_norm(epsilon=1e-3), str(tmp_path / "model.onnx"))
    stored_tensors(tmp_path, Source({}, CONFIG, analysis_with(model_type="deepseek_v3")), {})
    with pytest.raises(Corrupt, match="a norm with the epsilon 0.001"):
        stored_tensors(tmp_path, Source({}, CONFIG, analysis_with(model_type="llama")), {})


@pytest.mark.parametrize("left", ["adam_epsilon", "adam_eps", "optimizer_eps", "label_smoothing_eps"])
def test_what_is_left_of_the_training_is_no_epsilon_of_a_norm(left: str) -> None:
    assert epsilons({left: 1e-8, "layer_norm_eps": 1e-5}) == {"layer_norm_eps": 1e-5}


@pytest.mark.parametrize(
    "name", ["rms_norm_eps", "layer_norm_epsilon", "layernorm_epsilon", "norm_eps", "mixer_rms_eps", "hc_eps", "eps"]
)
def test_families_have_many_names_for_the_epsilon(name: str) -> None:
    assert epsilons({name: 1e-6}) == {name: 1e-6}


def test_opt_names_no_epsilon() -> None:
    assert epsilons(tiny("opt").to_dict()) == {}


def test_deepseek_has_epsilons_of_its_own() -> None:
    config = tiny("deepseek_v3")
    config.rms_norm_eps = 3e-5
    assert found_in(config) == {3e-5, 1e-6}


def found_in(config: Any) -> set[float]:
    """Return the epsilons of all modules of a model."""
    from transformers import AutoModelForCausalLM

    modules = AutoModelForCausalLM.from_config(config).modules()
    values = (getattr(module, name, None) for module in modules for name in ("eps", "variance_epsilon"))
    return {value for value in values if isinstance(value, float)}


def test_an_added_mean_is_found_once_for_each_norm() -> None:
    model = root_mean_square(1e-6)
    assert list(stated_epsilons(model, Weights(model, Path()))) == [pytest.approx(1e-6)]
