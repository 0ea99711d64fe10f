"""What transformers cannot build, and weights that are not the architecture's, are refused in one sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused, TerminalError, ToolFailed, Unsupported
from tasks.source.checks import architecture
from tasks.source.checks.architecture import check_architecture
from tasks.source.parameters import ScanParameters
from tasks.source.scan import CHECKS, scan
from tests.fixtures.checkpoints import llama_tensors, make_checkpoint, write_weights
from tests.fixtures.context import make_context

pytestmark = pytest.mark.runtime("torch")

PARAMETERS = ScanParameters(repository="a/b", commit="0" * 40)
UP = "model.layers.0.mlp.up_proj.weight"


def check(folder: Path) -> tuple[str, bool]:
    return check_architecture(Snapshot(folder), PARAMETERS)


def test_a_sound_snapshot_passes_every_check(tmp_path: Path) -> None:
    context = make_context(tmp_path, {"snapshot": make_checkpoint(tmp_path / "snapshot")})
    assert list(scan(PARAMETERS, context)["checks"]) == list(CHECKS)
    recorded = json.loads((context.output / "scan.json").read_bytes())["checks"]
    (found,) = [entry for entry in recorded if entry["name"] == "architecture"]
    assert found["outcome"] == "passed"
    assert found["detail"] == "LlamaForCausalLM: 20 tensors have its names and shapes"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rms_norm_eps": "1e-6"}, r"config\.json: transformers cannot read it \(.*'rms_norm_eps'.*got str"),
        (
            {"rope_scaling": {"rope_type": "novel", "factor": 2.0}},
            r"config\.json: transformers cannot build the model that it describes \(rope_scaling\.rope_type is 'novel'",
        ),
    ],
)
def test_a_configuration_that_transformers_cannot_build(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported, match=message) as refused:
        check(make_checkpoint(tmp_path, config=config))
    assert str(refused.value).endswith("; ask the publisher to fix it.")


def test_a_tokenizer_that_transformers_cannot_build(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text('{"a": 0}')
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": 7}')
    with pytest.raises(
        Unsupported, match=r"tokenizer_config\.json: transformers cannot build the tokenizer \(.+\); ask"
    ):
        check(folder)


PREFERENCES = [
    {"attn_implementation": "flash_attention_2"},
    {"_attn_implementation": "flash_attention_2"},
    {"attn_implementation": "sdpa", "output_attentions": True},
    {"use_return_dict": True},
    {"torch_dtype": "torch.bfloat16"},
    {"dtype": "auto", "quantization_config": {}},
    {"rms_norm_eps": 1, "max_position_embeddings": 512.0, "attention_bias": None},
]


@pytest.mark.parametrize("fields", PREFERENCES)
def test_what_the_publisher_s_machine_preferred_does_not_count(tmp_path: Path, fields: dict[str, Any]) -> None:
    folder = make_checkpoint(tmp_path, config=fields)
    before = sorted(path.read_bytes() for path in folder.iterdir())
    assert check(folder) == ("LlamaForCausalLM: 20 tensors have its names and shapes", True)
    assert sorted(path.read_bytes() for path in folder.iterdir()) == before


def test_a_tokenizer_is_built_from_what_the_view_will_have(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, config={"use_return_dict": True})
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text('{"a": 0}')
    (folder / "merges.txt").write_text("#version: 0.2\n")
    named = {"tokenizer_class": "GPT2Tokenizer", "unk_token": ""}
    (folder / "tokenizer_config.json").write_text(json.dumps(named), encoding="utf-8-sig")
    (folder / "special_tokens_map.json").write_text('{"bos_token": ""}')
    assert check(folder)[1] is True


def test_a_class_that_transformers_lacks_is_settled_by_the_view(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "FooTokenizer"}')
    assert check(folder)[1] is True


def test_the_value_head_of_a_training_is_left_out_with_a_note(tmp_path: Path) -> None:
    head = {"v_head.summary.weight": np.ones((1, 64), np.float32), "v_head.summary.bias": np.ones(1, np.float32)}
    detail, _ = check(make_checkpoint(tmp_path, tensors=head))
    assert detail == (
        "LlamaForCausalLM: 20 tensors have its names and shapes; "
        "the release leaves out the value head of training, tensors: 2"
    )


@pytest.mark.parametrize(("dtype", "spelled"), [("uint8", "U8"), ("float8_e4m3fn", "F8_E4M3")])
def test_a_parameter_in_a_type_for_quantized_numbers_is_refused(tmp_path: Path, dtype: str, spelled: str) -> None:
    biases = {
        f"model.layers.{layer}.self_attn.{part}_proj.bias": np.ones(size, np.float32)
        for layer in range(2)
        for part, size in (("q", 64), ("k", 32), ("v", 32), ("o", 64))
    }
    folder = make_checkpoint(tmp_path, config={"attention_bias": True}, tensors=biases)
    store_as(folder, name := "model.layers.0.self_attn.q_proj.bias", dtype)
    with pytest.raises(
        Unsupported, match=rf"^model\.safetensors: the tensor '{name}' is stored as {spelled}, so it is quan"
    ):
        check(folder)


def store_as(folder: Path, name: str, dtype: str) -> None:
    """Store a tensor in another type, and all others as they are."""
    import torch
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, name: tensors[name].to(getattr(torch, dtype))}, path)


def test_a_wrapper_of_training_is_named(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    write_weights(folder, {f"_orig_mod.{name}": tensor for name, tensor in llama_tensors().items()})
    with pytest.raises(Corrupt, match=r"model\.safetensors: the tensor '_orig_mod\..+' .+ which torch\.compile adds"):
        check(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mistral3"}, "config.json: model_type is 'mistral3', a model that reads images, too"),
        (
            {"model_type": "t5"},
            "config.json: model_type is 't5', a model that has an encoder for the text that it answers",
        ),
        (
            {"architectures": ["LlamaForSequenceClassification"]},
            "config.json names LlamaForSequenceClassification, which classifies texts",
        ),
        (
            {"model_type": "roberta", "architectures": ["RobertaForMaskedLM"]},
            "config.json names RobertaForMaskedLM, which fills in words that a text leaves out",
        ),
        (
            {"model_type": "bert", "architectures": ["BertLMHeadModel"]},
            "config.json: is_decoder is not true, so the model reads a text in both directions, as encoders do",
        ),
        (
            {"model_type": "gemma3_text", "use_bidirectional_attention": True},
            "config.json: use_bidirectional_attention is true, so the model reads a text in both directions, "
            "as encoders do",
        ),
    ],
)
def test_a_sound_model_of_another_kind_is_refused_as_such(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported) as refused:
        check(make_checkpoint(tmp_path, config=config))
    assert str(refused.value) == f"{message}; release a causal language model."


@pytest.mark.parametrize(
    ("config", "written"),
    [
        ({"model_type": "Llama"}, ""),
        ({"model_type": "novel", "transformers_version": "99.1.0"}, " (it was written by transformers 99.1.0)"),
        ({"model_type": "novel", "transformers_version": [99]}, ""),
    ],
)
def test_a_type_of_which_transformers_has_no_language_model_is_refused_with_both_versions(
    tmp_path: Path, config: dict[str, Any], written: str
) -> None:
    with pytest.raises(Unsupported) as refused:
        check(make_checkpoint(tmp_path, config=config))
    assert str(refused.value) == (
        f"config.json{written}: model_type is '{config['model_type']}', and transformers {transformers.__version__}, "
        "which Hallmark uses, has no causal language model of this type; release another model, or update Hallmark if "
        "the type is newer."
    )


def test_a_configuration_without_a_type_is_refused(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({name: config[name] for name in config if name != "model_type"}))
    with pytest.raises(Unsupported, match=r"^config\.json has no model_type, by which transformers finds its class"):
        check(folder)


def test_a_model_that_transformers_builds_in_part_is_not_held_against_it(tmp_path: Path) -> None:
    whole = {"model_type": "mllama", "architectures": ["MllamaForConditionalGeneration"]}
    detail = "transformers has no causal language model MllamaForConditionalGeneration of type mllama"
    assert check(make_checkpoint(tmp_path, config=whole)) == (detail, False)


def answers(monkeypatch: pytest.MonkeyPatch, **differences: Any) -> None:
    """Let the script answer with these differences."""
    none: dict[str, Any] = {"missing": [], "unexpected": [], "mismatched": [], "unconverted": []}
    answer = {"class": "LlamaForCausalLM", "differences": {**none, **differences}, "quantized": []}
    monkeypatch.setattr(architecture, "ask", lambda *_, **__: answer)


@pytest.mark.parametrize(
    ("differences", "message"),
    [
        ({"missing": [UP, "z"]}, rf"The weights lack '{UP}', which LlamaForCausalLM has .+ \(tensors affected: 2\)"),
        ({"unexpected": [UP]}, rf"model\.safetensors: LlamaForCausalLM has no tensor '{UP}' .+ would be dropped"),
        (
            {"mismatched": [[UP, [3, 64], [128, 64]]]},
            rf"model\.safetensors: the tensor '{UP}' has the shape \[3, 64\], but by config\.json it has \[128, 64\]",
        ),
        ({"unconverted": [[UP, "sizes differ"]]}, rf"the weights do not make '{UP}' of .+ \(sizes differ\)"),
    ],
)
def test_each_difference_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, differences: dict[str, Any], message: str
) -> None:
    answers(monkeypatch, **differences)
    with pytest.raises(Corrupt, match=message):
        check(make_checkpoint(tmp_path))


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (
            "say('tokenizer'); os.kill(os.getpid(), signal.SIGSEGV)",
            Unsupported,
            r"^tokenizer_config\.json: .+ \(without a message; it crashed with SIGSEGV\)",
        ),
        (
            "say('tokenizer'); sys.exit('PanicException: no entry')",
            Unsupported,
            r"tokenizer \(PanicException: no entry\)",
        ),
        (
            "say('architecture'); os.kill(os.getpid(), signal.SIGXCPU)",
            Refused,
            r"^config\.json: .+ within five minutes of processor time",
        ),
        (
            "sys.exit('no module')",
            ToolFailed,
            r"transformers cannot be imported \(no module\); build the runtime again",
        ),
    ],
)
def test_a_death_names_what_was_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, error: type[TerminalError], message: str
) -> None:
    script = tmp_path / "script.py"
    say = "def say(stage): print(json.dumps({'stage': stage}), flush=True)"
    script.write_text(f"import json, os, signal, sys\n{say}\n{body}\n")
    monkeypatch.setattr(architecture, "SCRIPT", script)
    with pytest.raises(error, match=message):
        check(make_checkpoint(tmp_path / "snapshot"))


def test_quantized_weights_are_not_held_against_it(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, config={"quantization_config": {"quant_method": "gptq"}})
    assert check(folder) == ("the weights are quantized (gptq)", False)


@pytest.mark.parametrize("architectures", [["LlamaForCausalLM"], ["OtherForCausalLM"], None])
def test_a_surplus_tensor_is_found_by_the_script(tmp_path: Path, architectures: list[str] | None) -> None:
    bias = {"model.layers.0.self_attn.q_proj.bias": np.ones(64, np.float32)}
    with pytest.raises(Corrupt, match=r"LlamaForCausalLM has no tensor 'model\.layers\.0\.self_attn\.q_proj\.bias'"):
        check(make_checkpoint(tmp_path, config={"architectures": architectures}, tensors=bias))
