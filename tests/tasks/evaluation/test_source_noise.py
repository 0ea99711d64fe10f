"""The noise floor of real checkpoints, against transformers alone and a formula written out."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tasks.evaluation.parameters import EvaluationSettings, ReferenceParameters
from tasks.evaluation.reference import reference
from tasks.evaluation.reference_files import ReferenceInfo, read_part
from tasks.evaluation.reference_reader import open_reference
from tasks.evaluation.source_model import SourceModel
from tasks.evaluation.source_noise import measure_noise
from tests.fixtures.context import make_context
from tests.fixtures.source import source_inputs
from tests.fixtures.tiny_architectures import tiny
from tests.fixtures.tiny_checkpoint import tiny_llama, write_checkpoint
from tests.tasks.evaluation.texts import make_text

PARAMETERS = ReferenceParameters(
    settings=EvaluationSettings(window_tokens=64, windows=4, generations=2, generated_tokens=8, long_window_tokens=0)
)


def source_of(folder: Path, dtype: str, factor: float = 1.0) -> Path:
    config = tiny_llama(max_position_embeddings=256, initializer_range=0.1)
    return write_checkpoint(
        folder / "snapshot", config, dtype=dtype, opens=True, factors={"model.layers.0.mlp.down_proj.weight": factor}
    )


def made_of(snapshot: Path, folder: Path) -> Path:
    text = make_text(folder / "text")
    context = make_context(folder / "work", {**source_inputs(snapshot, folder / "source"), "evaluation-text": text})
    reference(PARAMETERS, context)
    return context.output


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_noise_is_that_of_the_source_loaded_in_its_own_type(dtype: str, tmp_path: Path) -> None:
    snapshot = source_of(tmp_path, dtype)
    made = made_of(snapshot, tmp_path)
    info = read_part(made, "reference.json", ReferenceInfo)
    load: Any = transformers.AutoModelForCausalLM.from_pretrained
    single, half = load(snapshot, dtype=torch.float32).eval(), load(snapshot, dtype=getattr(torch, dtype)).eval()
    tokens = torch.from_numpy(open_reference(made).tokens.copy()).long()
    with torch.inference_mode():
        exact, noisy = (
            torch.stack([model(ids[None]).logits[0, :-1] for ids in tokens]).double().log_softmax(-1)
            for model in (single, half)
        )
    kld = (exact.exp() * (exact - noisy)).sum(-1)
    assert info.noise is not None
    assert info.noise.type == dtype
    assert info.noise.tokens == tokens[:, 1:].numel()
    found = info.noise.metrics
    assert found["kld_mean"].value == pytest.approx(float(kld.mean()), rel=1e-2)
    assert found["kld_p99"].value == pytest.approx(float(kld.flatten().quantile(0.99)), rel=1e-2)
    assert found["top1_agreement"].value == pytest.approx(
        float((exact.argmax(-1) == noisy.argmax(-1)).double().mean()), abs=1e-9
    )
    chosen = [rows.gather(-1, tokens[:, 1:, None])[..., 0] for rows in (exact, noisy)]
    assert found["delta_ln_perplexity"].value == pytest.approx(float((chosen[0] - chosen[1]).mean()), rel=1e-2)
    assert info.noise.repeated.value < 1e-7 < found["kld_mean"].value


def test_a_source_in_float32_has_only_the_noise_of_rounding(tmp_path: Path) -> None:
    info = read_part(made_of(source_of(tmp_path, "float32"), tmp_path), "reference.json", ReferenceInfo)
    assert info.noise is not None
    assert info.noise.type == "float32"
    assert info.noise.metrics["kld_mean"].value < 1e-7
    assert info.noise.metrics["kld_mean"] == info.noise.repeated


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen2", "granite", "gpt2", "phi3"])
def test_turning_the_weights_is_loading_in_that_type(family: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, tiny(family), dtype="bfloat16")
    source = SourceModel(folder, 1)
    load: Any = transformers.AutoModelForCausalLM.from_pretrained
    ids = torch.arange(2, 34)[None]
    with torch.inference_mode():
        expected = load(folder, dtype=torch.bfloat16).eval()(input_ids=ids, use_cache=False).logits
    before = sum(weight.nbytes for weight in source.model.parameters())
    source.turn_to(torch.bfloat16)
    assert torch.equal(source.logits(ids), expected)
    assert sum(weight.nbytes for weight in source.model.parameters()) == before // 2


def test_a_source_that_its_own_type_cannot_hold_has_no_noise_and_a_note(tmp_path: Path) -> None:
    """In float16, hidden states beyond 65504 are infinite."""
    info = read_part(made_of(source_of(tmp_path, "float16", factor=6e4), tmp_path), "reference.json", ReferenceInfo)
    assert info.noise is None
    assert info.notes[-1] == "The source's own logits are not finite in float16, so its noise was not measured."


def test_a_lack_of_memory_is_no_fact_about_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = source_of(tmp_path, "bfloat16")
    made = made_of(snapshot, tmp_path)

    def fail(source: SourceModel, dtype: object) -> None:
        # More than any host has: torch raises an error of its own.
        torch.empty(1 << 60, dtype=torch.uint8)

    monkeypatch.setattr(SourceModel, "turn_to", fail)
    with pytest.raises(MemoryError):
        measure_noise(SourceModel(snapshot, 1), open_reference(made), "bfloat16")


def test_a_source_that_does_not_run_in_its_own_type_has_no_noise_and_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = source_of(tmp_path, "bfloat16")
    made = made_of(snapshot, tmp_path)

    def fail(source: SourceModel, dtype: object) -> None:
        raise RuntimeError("expected m1 and m2 to have the same dtype")

    monkeypatch.setattr(SourceModel, "turn_to", fail)
    noise, notes = measure_noise(SourceModel(snapshot, 1), open_reference(made), "bfloat16")
    assert noise is None
    assert notes == (
        "transformers cannot run the source in bfloat16 (RuntimeError: expected m1 and m2 to have the same dtype), "
        "so its noise was not measured.",
    )
