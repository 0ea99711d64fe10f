"""The whole conversion on a tiny model, and every fault of its sources and of its artifact planted."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file

from tasks.checkpoint.headers import read_header
from tasks.checkpoint.tensors import read_weights
from tasks.engines.transformers.runner import open_runner
from tasks.errors import Corrupt, Unsupported
from tasks.formats.base import ConvertParameters
from tasks.formats.registry import parse_target
from tasks.formats.safetensors.convert import convert
from tasks.formats.safetensors.inspect import inspect
from tasks.formats.safetensors.shards import split_into_shards, to_bf16
from tasks.proving.opening import open_artifact
from tests.fixtures import tiny_checkpoint as tiny
from tests.fixtures.context import FolderContext, make_context
from tests.fixtures.source import source_inputs


def make(folder: Path, snapshot: Path, **options: Any) -> tuple[FolderContext, dict[str, Any]]:
    context = make_context(folder, source_inputs(snapshot, folder / "source"))
    parameters = ConvertParameters(target=parse_target("safetensors-bf16", options))
    return context, dict(convert(parameters, context))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in fp32 whose bf16 copy needs two shards of 1 MB."""
    config = tiny.tiny_llama(hidden_size=128, intermediate_size=768, tie_word_embeddings=False)
    return tiny.write_checkpoint(tmp_path_factory.mktemp("snapshot"), config)


@pytest.fixture(scope="module")
def made(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[FolderContext, dict[str, Any]]:
    return make(tmp_path_factory.mktemp("made"), snapshot, shard_size_mb=1)


@pytest.fixture
def tied(tmp_path: Path) -> Path:
    return tiny.write_checkpoint(tmp_path / "tied")


def loaded(folder: Path) -> dict[str, Any]:
    """Return all tensors of a folder as the safetensors library reads them."""
    return {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(path).items()}


def test_weights_are_rounded_to_the_nearest_and_resharded(
    made: tuple[FolderContext, dict[str, Any]], snapshot: Path
) -> None:
    context, facts = made
    source, copy = loaded(snapshot), loaded(context.output)
    assert set(copy) == set(source)
    assert all(torch.equal(copy[name], source[name].to(torch.bfloat16)) for name in source)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert facts["files"] == files
    assert all((context.output / name).stat().st_size <= 1_010_000 for name in files)
    index = json.loads((context.output / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(2 * tensor.numel() for tensor in source.values())
    assert facts["dtypes"] == {"BF16": len(source)}
    assert facts["source_dtypes"] == ["F32"]


def test_a_mask_that_nothing_reads_is_left_out(tied: Path, tmp_path: Path) -> None:
    path = tied / "model.safetensors"
    mask = {
        "model.layers.0.attention.masked_bias": torch.tensor(float("-inf")),
        "v_head.summary.weight": torch.ones(1, 64),
    }
    save_file({**load_file(path), **mask}, path, metadata={"format": "pt"})
    context, _ = make(tmp_path, tied)
    assert not set(mask) & set(loaded(context.output))


def test_what_travels_along(made: tuple[FolderContext, dict[str, Any]]) -> None:
    output = made[0].output
    for name in ("LICENSE", "tokenizer.json", "chat_template.jinja", "generation_config.json", "MLmodel"):
        assert (output / name).is_file()
    assert json.loads((output / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_copy_of_a_tied_weight_is_left_out_and_one_that_differs_is_kept(tied: Path, tmp_path: Path) -> None:
    path = tied / "model.safetensors"
    stored = load_file(path)
    head = stored["model.embed_tokens.weight"].clone()
    save_file({**stored, "lm_head.weight": head}, path, metadata={"format": "pt"})
    context, facts = make(tmp_path / "equal", tied)
    assert facts["tied_copies_left_out"] == ["lm_head.weight"]
    assert "lm_head.weight" not in loaded(context.output)
    open_runner(context.output, 1)

    head[3, 5] += 1
    save_file({**stored, "lm_head.weight": head}, path, metadata={"format": "pt"})
    assert make(tmp_path / "other", tied)[1]["tied_copies_left_out"] == []


def test_pickled_weights_are_converted(tied: Path, tmp_path: Path) -> None:
    source = loaded(tied)
    # A transposed view and a shared storage, as pickles have and safetensors has not.
    name = "model.layers.0.mlp.down_proj.weight"
    pickled = {**source, name: source[name].T.contiguous().T, "lm_head.weight": source["model.embed_tokens.weight"]}
    (tied / "model.safetensors").unlink()
    torch.save(pickled, tied / "pytorch_model.bin")
    context, facts = make(tmp_path / "made", tied)
    copy = loaded(context.output)
    assert facts["tied_copies_left_out"] == ["lm_head.weight"]
    assert all(torch.equal(copy[name], source[name].to(torch.bfloat16)) for name in source)

    torch.save(pickled, tied / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    old, _ = make(tmp_path / "old", tied)
    assert all(torch.equal(tensor, copy[name]) for name, tensor in loaded(old.output).items())


@pytest.mark.parametrize(
    ("value", "reason"),
    [(float("nan"), "contains NaN"), (float("inf"), "infinite value"), (3.4e38, "too large for bf16")],
)
def test_a_value_that_bf16_cannot_hold_names_its_tensor(tied: Path, tmp_path: Path, value: float, reason: str) -> None:
    stored = load_file(tied / "model.safetensors")
    stored["model.norm.weight"][-1] = value
    save_file(stored, tied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Corrupt, match=rf"'model\.norm\.weight' .*{reason.removeprefix('contains ')}"):
        make(tmp_path / "made", tied)


def test_rounding_is_to_the_nearest_ties_to_even() -> None:
    # bf16 keeps 8 significant bits: around 256 its neighbours are 2 apart.
    values = torch.tensor([257.0, 259.0, 257.01, -258.99, 1e-45])
    assert to_bf16(values, "t").tolist() == [256.0, 260.0, 258.0, -258.0, 0.0]


def test_a_tensor_larger_than_a_shard_is_alone(tied: Path) -> None:
    found = read_weights(tied)
    shards = split_into_shards(found, 10_000)
    assert [weight for shard in shards for weight in shard] == found
    assert max(len(shard) for shard in shards if any(w.name == "model.embed_tokens.weight" for w in shard)) == 1
    assert all(sum(2 * weight.elements for weight in shard) <= 10_000 for shard in shards if len(shard) > 1)


def test_integer_buffers_stay_and_lie_behind_wider_ones(tied: Path, tmp_path: Path) -> None:
    path = tied / "model.safetensors"
    save_file({**load_file(path), "a.mask": torch.tensor([True]), "a.ids": torch.arange(3)}, path)
    header = read_header(make(tmp_path / "made", tied)[0].output / "model.safetensors")
    assert next(iter(header.tensors)) == "a.ids"
    assert all(entry.start % 2 == 0 for entry in header.tensors.values() if entry.dtype == "BF16")
    assert loaded(tmp_path / "made" / "output")["a.ids"].tolist() == [0, 1, 2]


def test_quantized_sources_are_unsupported(tied: Path, tmp_path: Path) -> None:
    path = tied / "model.safetensors"
    stored = load_file(path)
    name = "model.layers.0.mlp.up_proj.weight"
    for dtype, spelled in ((torch.float8_e4m3fn, "F8_E4M3"), (torch.int8, "I8")):
        save_file({**stored, name: stored[name].to(dtype)}, path)
        with pytest.raises(Unsupported, match=f"stored as {spelled}"):
            make(tmp_path / spelled, tied)
    config = json.loads((tied / "config.json").read_text())
    (tied / "config.json").write_text(json.dumps({**config, "quantization_config": None}))
    save_file(stored, path, {"format": "pt"})
    make(tmp_path / "none", tied)
    (tied / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(Unsupported, match="quantization_config"):
        make(tmp_path / "config", tied)


def test_an_architecture_the_runner_cannot_serve_is_unsupported(tmp_path: Path) -> None:
    config = transformers.MambaConfig(vocab_size=384, hidden_size=32, num_hidden_layers=1, state_size=4)
    source = tiny.write_checkpoint(tmp_path / "mamba", config)
    with pytest.raises(Unsupported, match="MambaForCausalLM has no KV cache"):
        make(tmp_path / "made", source)


def test_a_truncated_shard_is_refused(made: tuple[FolderContext, dict[str, Any]], tmp_path: Path) -> None:
    for path in made[0].output.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert inspect(tmp_path)["tensors"] == made[1]["tensors"]
    shard = tmp_path / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-2])
    for load in (inspect, lambda folder: open_artifact(parse_target("safetensors-bf16"), folder, 1)):
        with pytest.raises(Corrupt, match=r"model-00002-of-00002\.safetensors: the file is cut short"):
            load(tmp_path)


def test_an_artifact_that_is_not_bf16_is_refused(tied: Path) -> None:
    with pytest.raises(Corrupt, match="is F32, not BF16"):
        inspect(tied)
    save_file({"a": torch.zeros(2, dtype=torch.bfloat16)}, tied / "model.safetensors")
    with pytest.raises(Corrupt, match="says that the weights are 'float32'"):
        inspect(tied)


def test_weights_that_lack_a_parameter_are_not_made_up(tied: Path, tmp_path: Path) -> None:
    output = make(tmp_path / "made", tied)[0].output
    stored = load_file(output / "model.safetensors")
    del stored["model.norm.weight"]
    save_file(stored, output / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Corrupt, match=r"lack 'model\.norm\.weight'"):
        open_runner(output, 1)


@pytest.mark.parametrize("by", ["generation_config.json", "config.json"])
def test_transformers_stops_at_the_ends_of_the_source_whichever_file_it_reads(tmp_path: Path, by: str) -> None:
    """config.json of the source still names an ordinary token that generation_config.json does not name any more."""
    source = tiny.write_checkpoint(tmp_path / "snapshot")
    prompt = torch.tensor([[0, 40, 50, 60]])
    asked: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}
    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    free = model.generate(prompt, **asked, eos_token_id=None)[0, prompt.shape[1] :].tolist()
    stale = free[0]
    end = next(token for token in free if token != stale)
    for name, value in (("config.json", [1, stale]), ("generation_config.json", [1, end])):
        content = json.loads((source / name).read_text())
        (source / name).write_text(json.dumps({**content, "eos_token_id": value}))
    context, _ = make(tmp_path / "made", source)
    released = transformers.AutoModelForCausalLM.from_pretrained(context.output)
    if by == "config.json":
        released.generation_config = transformers.GenerationConfig.from_model_config(released.config)
    said = released.generate(prompt, **asked)[0, prompt.shape[1] :].tolist()
    assert said == free[: free.index(end) + 1]
