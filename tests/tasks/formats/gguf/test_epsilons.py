"""A GGUF file must state an epsilon of config.json, as float32 holds it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import Corrupt
from tasks.formats.gguf.epsilons import KEYS, check_epsilons
from tasks.formats.gguf.header import Header, read_header
from tests.tasks.formats.gguf.writer import write_gguf


def header_with(folder: Path, metadata: Mapping[str, Any]) -> Header:
    keys = {f"llama.attention.{key}": value for key, value in metadata.items()}
    path = write_gguf(folder / "tiny.gguf", {"general.architecture": "llama", **keys}, {"token_embd.weight": (32, 3)})
    return read_header(path)


@pytest.mark.parametrize("field", ["rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"])
@pytest.mark.parametrize("key", KEYS)
def test_another_epsilon_is_refused(tmp_path: Path, key: str, field: str) -> None:
    config = {field: 1e-5, "rope_theta": 1e-3, "keeps": 1e-3}
    check_epsilons(header_with(tmp_path, {key: 1e-5}), config)
    with pytest.raises(Corrupt, match=f"tiny.gguf has llama.attention.{key} 0.001, but config.json has {field} 1e-05;"):
        check_epsilons(header_with(tmp_path, {key: 1e-3}), config)
    with pytest.raises(Corrupt, match="2e-05, but"):
        check_epsilons(header_with(tmp_path, {key: 2e-5}), config)


def test_a_model_may_have_several_epsilons(tmp_path: Path) -> None:
    config = {"rms_norm_eps": 1e-6, "layer_norm_eps": 1e-5}
    stated = {"layer_norm_rms_epsilon": 1e-6, "layer_norm_epsilon": 1e-5}
    check_epsilons(header_with(tmp_path, stated), config)
    with pytest.raises(Corrupt, match="config.json has rms_norm_eps 1e-06 and layer_norm_eps 1e-05"):
        check_epsilons(header_with(tmp_path, {**stated, "layer_norm_epsilon": 1e-3}), config)


def test_where_either_side_says_nothing_nothing_is_compared(tmp_path: Path) -> None:
    check_epsilons(header_with(tmp_path, {"layer_norm_epsilon": 1e-5}), {"norm_eps": None, "hidden_size": 64})
    check_epsilons(header_with(tmp_path, {}), {"norm_eps": 1e-5})
