"""A snapshot loads with transformers, or fails with one sentence."""

import json
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")

from tasks.checkpoint.load import build_without_weights, load_config, load_model, load_tokenizer
from tasks.errors import Corrupt, Unsupported
from tests.fixtures.checkpoints import make_checkpoint


def test_a_sound_snapshot_loads(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    assert load_config(folder).model_type == "llama"
    model = load_model(folder, torch.float32)
    assert {value.dtype for value in model.parameters()} == {torch.float32} and not model.training
    empty = build_without_weights(folder)
    assert {value.device.type for value in empty.parameters()} == {"meta"}
    assert [name for name, _ in empty.named_parameters()] == [name for name, _ in model.named_parameters()]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, Corrupt, r"has no config\.json"),
        ("{", Corrupt, r"config\.json is not valid JSON"),
        (
            '{"model_type": "unheard-of"}',
            Unsupported,
            r"config\.json: transformers \d\S* cannot read it \(.*\); release another model\.$",
        ),
        ("{}", Unsupported, r"config\.json: transformers \d\S* cannot read it \(.*\); release another model\.$"),
    ],
)
def test_a_configuration_that_cannot_be_loaded(
    tmp_path: Path, content: str | None, error: type[Exception], message: str
) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_text(content)
    for load in (load_config, build_without_weights):
        with pytest.raises(error, match=message):
            load(folder)


def test_weights_that_would_be_filled_with_random_numbers(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    more = {**config, "num_hidden_layers": config["num_hidden_layers"] + 1}
    (folder / "config.json").write_text(json.dumps(more))
    with pytest.raises(Corrupt, match=r"weights lack 'model\.layers\.\d\.\S+' \(tensors affected: \d+\)"):
        load_model(folder, torch.float32)
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 2 * config["intermediate_size"]}))
    with pytest.raises(
        Corrupt, match=r"hold in another shape than config\.json says 'model\.layers\.0\.mlp\.down_proj\.weight'"
    ):
        load_model(folder, torch.float32)
    (folder / "model.safetensors").write_bytes(b"no weights")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        Unsupported,
        match="transformers cannot load the weights as a causal language model .*; ask the publisher to fix them",
    ):
        load_model(folder, torch.float32)


def test_a_tokenizer_that_does_not_load_and_code_that_is_not_run(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(Unsupported, match=r"transformers cannot load the tokenizer \("):
        load_tokenizer(folder)
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    (folder / "own.py").write_text("import sys\nsys.hallmark_ran_it = True\n")
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": own}))
    for load in (load_config, lambda folder: load_model(folder, torch.float32)):
        with pytest.raises(Unsupported):
            load(folder)
    assert not hasattr(sys, "hallmark_ran_it")
