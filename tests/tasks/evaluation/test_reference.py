"""The reference of real checkpoints, made by transformers."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tasks.evaluation.rows import log_softmax

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file

from tasks.checkpoint.analysis import Analysis
from tasks.contract import PROVISIONAL
from tasks.engines.runner import Enough, Generation, Runner
from tasks.errors import Corrupt, InvalidRecipe, Unsupported
from tasks.evaluation import source_distributions
from tasks.evaluation.bound import Bound
from tasks.evaluation.measure import measure
from tasks.evaluation.measurement import Evaluation
from tasks.evaluation.metrics import CAUSES, INTERRUPTED, OPTIONAL_SPEED_METRICS, SPEED_METRICS
from tasks.evaluation.parameters import EvaluationSettings, ReferenceParameters
from tasks.evaluation.reference import reference
from tasks.evaluation.reference_files import Chats, Generations, ParityTexts, ReferenceInfo, read_part
from tasks.evaluation.reference_reader import ExactReference, open_reference
from tasks.evaluation.source_model import HeadFacts, SourceModel
from tasks.formats.registry import parse_target
from tasks.proving.benchmark import benchmark
from tasks.proving.evaluate import evaluate
from tasks.proving.parameters import BenchmarkParameters, EvaluateParameters
from tests.fixtures.context import make_context
from tests.fixtures.source import source_inputs
from tests.fixtures.tiny_checkpoint import VOCABULARY, make_tokenizer, tiny_llama, write_checkpoint
from tests.tasks.evaluation.texts import make_text
from tests.tasks.evaluation.toy import ANALYSIS

PARAMETERS = ReferenceParameters(
    settings=EvaluationSettings(window_tokens=64, windows=10, generations=4, generated_tokens=16), questions=4
)


class SourceRunner(Runner):
    """The source itself as an artifact, in transformers."""

    def __init__(self, snapshot: Path) -> None:
        self.source = SourceModel(snapshot, 1)
        self.engine = f"transformers {transformers.__version__}"
        self.vocabulary_size = int(self.source.config.vocab_size)
        self.context_length = self.source.context_length
        self.end_ids = frozenset(self.source.stop_ids())

    def logits(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        yield self.source.logits(torch.tensor([list(token_ids)]))[0].numpy()

    def generate(
        self,
        token_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        enough: Enough | None = None,
    ) -> Generation:
        said = self.source.generate(token_ids, max_tokens, stop_ids, enough)
        return Generation(said, [0.0] * len(said))

    def tokenize(self, text: str) -> list[int]:
        return list(self.source.tokenizer.encode(text, add_special_tokens=False))

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return self.source.decode(token_ids)

    def input_ids(self, row: Mapping[str, Any]) -> list[int]:
        tokenizer = self.source.tokenizer
        if "messages" in row:
            return self.tokenize(self.render_chat(row["messages"], True) or "")
        return list(tokenizer.encode(row["prompt"].removeprefix("<s>"), add_special_tokens=True))

    def continuation_text(self, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> str:
        return self.source.continuation_text(prompt_ids, token_ids)

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        return str(
            self.source.tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
            )
        )

    def close(self) -> None:
        """Nothing to free."""


def make_reference(folder: Path, snapshot: Path) -> Path:
    context = make_context(
        folder / "work", {**source_inputs(snapshot, folder / "source"), "evaluation-text": make_text(folder / "text")}
    )
    reference(PARAMETERS, context)
    return context.output


def ignore(message: str, fraction: float | None = None) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bf16 Llama whose next-token distributions are neither flat nor certain."""
    config = tiny_llama(max_position_embeddings=256, initializer_range=0.1)
    folder = tmp_path_factory.mktemp("checkpoint") / "snapshot"
    return write_checkpoint(folder, config, dtype="bfloat16", opens=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, snapshot: Path) -> Path:
    return make_reference(tmp_path_factory.mktemp("reference"), snapshot)


def test_recomputed_log_probabilities_are_the_models_own(made: Path, snapshot: Path) -> None:
    kept = open_reference(made)
    assert isinstance(kept, ExactReference)
    model = transformers.AutoModelForCausalLM.from_pretrained(snapshot, dtype=torch.float32).eval()
    for window in range(kept.info.windows):
        with torch.inference_mode():
            own = torch.log_softmax(model(torch.tensor([kept.tokens[window].tolist()])).logits[0], -1)
        found = log_softmax(kept.logits(window, 0, kept.info.window_tokens))
        np.testing.assert_allclose(found, own.numpy(), atol=2e-5)
    assert kept.info.head_dtype == "bfloat16"
    assert np.load(made / "head.npy").dtype == np.uint16


def test_a_text_too_short_for_a_gate_is_refused_before_the_source_runs(tmp_path: Path, snapshot: Path) -> None:
    inputs = {**source_inputs(snapshot, tmp_path / "source"), "evaluation-text": make_text(tmp_path / "text")}
    bounds = {
        "onnx-fp32": (Bound(metric="top1_agreement", minimum=0.995),),
    }
    context = make_context(tmp_path / "work", inputs)
    with pytest.raises(InvalidRecipe, match=r"fills 10 windows of 64 tokens, .* top-1 agreement of onnx-fp32 even"):
        reference(PARAMETERS.model_copy(update={"bounds": bounds}), context)
    assert list(context.output.iterdir()) == []


def test_every_window_begins_as_the_tokenizer_begins_a_text(made: Path) -> None:
    kept = open_reference(made)
    assert kept.info.first_token_ids == (0,)
    assert (kept.tokens[:, 0] == 0).all()
    generations = read_part(made, "generations.json", Generations)
    assert all(one.prompt_ids[0] == 0 for one in generations.continuations)
    assert all(one.prompt_ids[0] == 0 for one in generations.questions)


def test_the_source_against_itself_is_perfect(made: Path, snapshot: Path) -> None:
    found, *_ = measure(SourceRunner(snapshot), made, ignore)
    values = {name: measured.value for name, measured in found.metrics.items()}
    assert values["kld_max"] < 1e-6
    assert values["top1_agreement"] == 1
    assert values["generation_agreement"] == values["tokenizer_parity"] == values["chat_template_parity"] == 1
    assert values["end_token_parity"] == values["opening_parity"] == values["continuation_parity"] == 1
    assert values["answer_recall"] == values["reference_answer_recall"]
    assert values["perplexity"] == pytest.approx(values["reference_perplexity"])
    assert found.metrics["kld_long"].value < 1e-6
    assert found.notes == ("The artifact was compared up to 256 tokens, the source's whole context.",)


def test_the_perplexity_is_that_of_windows_from_the_whole_text(made: Path) -> None:
    kept = open_reference(made)
    windows = kept.info.windows
    some = {place * windows // 8 for place in range(8)}
    values = np.stack([kept.negative_log_likelihood(window) for window in some])
    assert len(some) == 8 < windows
    assert kept.info.perplexity.value == pytest.approx(np.exp(values.mean()))
    assert kept.info.perplexity.observations == values.size


def test_the_perplexity_of_the_long_window_is_not_computed(made: Path) -> None:
    """Nothing reads it, and it costs a product of all rows with the output head."""
    found = ReferenceInfo.read_file(made / "long" / "reference.json", "reference.json")
    assert found.window_tokens == 256 and found.perplexity.observations == 0


def test_an_artifact_is_measured_in_its_own_engine(made: Path, snapshot: Path, tmp_path: Path) -> None:
    analysis = tmp_path / "analysis"
    analysis.mkdir()
    (analysis / "analysis.json").write_text(Analysis(**ANALYSIS).to_json())
    target = parse_target("safetensors-bf16")
    folders = {"artifact": snapshot, "reference": made, "analysis": analysis}
    context = make_context(tmp_path / "evaluate", folders)
    facts = evaluate(EvaluateParameters(target=target), context)
    assert 0 < facts["kld_mean"] < 1e-3  # it runs in bfloat16
    assert facts["top1_agreement"] > 0.9
    assert facts["tokenizer_parity"] == facts["chat_template_parity"] == 1
    assert facts["size_bytes"] == (snapshot / "model.safetensors").stat().st_size
    context = make_context(tmp_path / "benchmark", folders)
    facts = benchmark(BenchmarkParameters(target=target, generated_tokens=8, repetitions=2, seconds=0), context)
    # Batches are timed if the host is quiet.
    optional = {PROVISIONAL, INTERRUPTED, *OPTIONAL_SPEED_METRICS}
    assert set(facts) - optional == {"engine", CAUSES, *SPEED_METRICS} - optional
    assert facts["peak_memory_bytes"] > 1e8
    assert context.versions["transformers"].startswith(transformers.__version__)


@pytest.mark.parametrize(("maximum", "ended"), [(0.5, "clear"), (1e-9, "blocked")])
def test_an_artifact_is_compared_until_it_is_clear(
    made: Path, snapshot: Path, tmp_path: Path, maximum: float, ended: str
) -> None:
    analysis = tmp_path / "analysis"
    analysis.mkdir()
    (analysis / "analysis.json").write_text(Analysis(**ANALYSIS).to_json())
    context = make_context(tmp_path / "work", {"artifact": snapshot, "reference": made, "analysis": analysis})
    bounds = (Bound(metric="kld_mean", maximum=maximum),)
    evaluate(EvaluateParameters(target=parse_target("safetensors-bf16"), bounds=bounds), context)
    found = Evaluation.from_json((context.output / "evaluation.json").read_bytes())
    assert found.comparison is not None
    assert (found.comparison.windows, found.comparison.available, found.comparison.ended) == (8, 10, ended)
    assert found.metrics["kld_mean"].observations == 8 * 63
    interval = found.comparison.intervals["kld_mean"]
    assert interval.high is not None and interval.low < found.metrics["kld_mean"].value < interval.high


def test_another_rope_base_does_not_pass_for_the_source(made: Path, snapshot: Path) -> None:
    runner = SourceRunner(snapshot)
    config = transformers.AutoConfig.from_pretrained(snapshot)
    config.rope_parameters["rope_theta"] = 1000.0
    state = runner.source.model.state_dict()
    runner.source.model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    runner.source.model.load_state_dict(state)
    assert measure(runner, made, ignore)[0].metrics["kld_mean"].value > 1e-4


def test_parity_texts_and_chats_are_the_tokenizers(made: Path) -> None:
    tokenizer = make_tokenizer()
    texts = {case.name: case for case in read_part(made, "parity.json", ParityTexts).cases}
    assert len(texts) > 1040
    emoji = texts["joined emoji"]
    assert list(emoji.token_ids) == tokenizer.encode(emoji.text, add_special_tokens=False)
    assert 0 in texts["special token <s>"].token_ids
    assert 0 not in texts["half a special token <s>"].token_ids
    chats = read_part(made, "chats.json", Chats)
    assert not chats.dated
    assert chats.cases[0].text == "<s><|user|>\nWhere does the cat sleep?</s>\n<|assistant|>\n"
    assert {case.name for case in chats.cases} >= {"system message", "several turns", "odd characters"}


def test_generations_are_greedy_and_half_of_them_from_prompts(made: Path, snapshot: Path) -> None:
    generations = read_part(made, "generations.json", Generations)
    assert [one.name.split()[0] for one in generations.continuations] == ["prompt", "prompt", "text", "text"]
    assert [one.answer for one in generations.questions] == ["1", "2", "3", "4"], "of the five, as many as are asked"
    assert generations.stop_ids == (1,)
    one = generations.continuations[2]
    model = transformers.AutoModelForCausalLM.from_pretrained(snapshot, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([[*one.prompt_ids, *one.token_ids]])).logits[0]
    assert logits.argmax(-1)[len(one.prompt_ids) - 1 : -1].tolist() == list(one.token_ids)


def gemma(folder: Path) -> Path:
    """A model that caps its logits softly after the head."""
    config = transformers.Gemma2Config(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=128, initializer_range=0.5,
        final_logit_softcapping=5.0, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return write_checkpoint(folder, config, seed=3)


def test_a_soft_cap_of_the_configuration_is_kept_exactly(tmp_path: Path) -> None:
    snapshot = gemma(tmp_path / "gemma")
    made = make_reference(tmp_path, snapshot)
    info = read_part(made, "reference.json", ReferenceInfo)
    assert (info.kind, info.soft_cap, info.head_dtype) == ("exact", 5.0, "float32")
    assert measure(SourceRunner(snapshot), made, ignore)[0].metrics["kld_max"].value < 1e-6


def test_what_does_not_come_back_is_stored_as_top_k_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SourceModel, "head_facts", lambda self: HeadFacts(1.0, None))
    monkeypatch.setattr(source_distributions, "KEPT", 64)
    monkeypatch.setattr(source_distributions, "BLOCK_ROWS", 5)
    snapshot = gemma(tmp_path / "gemma")
    made = make_reference(tmp_path, snapshot)
    info = read_part(made, "reference.json", ReferenceInfo)
    assert (info.kind, info.kept, info.vocabulary_size) == ("top-k", 64, VOCABULARY)
    assert info.reproduction_error is not None
    assert info.reproduction_error > 0.1
    assert not (made / "hidden.npy").exists()
    found, *_ = measure(SourceRunner(snapshot), made, ignore)
    assert found.notes[0].startswith("The source's logits do not come back")
    assert found.metrics["kld_max"].value < 1e-6
    assert found.metrics["top1_agreement"].value == 1


def test_a_window_whose_logits_do_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other windows than the long one are needed, too, if they do not come back."""
    monkeypatch.setattr(SourceModel, "has_head", lambda self: False)
    monkeypatch.setattr(source_distributions, "LOGIT_BYTES", 4 * VOCABULARY * 20)
    with pytest.raises(InvalidRecipe, match=r"'evaluation\.window_tokens' is \d+, and this source takes at most 20:"):
        make_reference(tmp_path, gemma(tmp_path / "gemma"))


def changed(snapshot: Path, folder: Path, lost: str) -> Path:
    """Copy a checkpoint without one of its tensors."""
    folder.mkdir()
    for path in snapshot.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    del tensors[lost]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_weights_that_would_be_left_random_are_refused(tmp_path: Path, snapshot: Path) -> None:
    broken = changed(snapshot, tmp_path / "broken", "model.layers.1.mlp.down_proj.weight")
    with pytest.raises(Corrupt, match=r"lack 'model\.layers\.1\.mlp\.down_proj\.weight'"):
        make_reference(tmp_path, broken)


def test_a_source_that_overflows_in_float32_is_one_sentence(tmp_path: Path) -> None:
    config = tiny_llama(max_position_embeddings=256, initializer_range=0.1)
    overflowing = {f"model.layers.{layer}.mlp.down_proj.weight": 3e38 for layer in (0, 1)}
    write_checkpoint(tmp_path / "snapshot", config, dtype="bfloat16", opens=True, factors=overflowing)
    with pytest.raises(Corrupt, match=r"Window 0.* not finite; check its weights\.$"):
        make_reference(tmp_path, tmp_path / "snapshot")


def test_an_unknown_architecture_is_one_sentence(tmp_path: Path, snapshot: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    for path in snapshot.iterdir():
        (odd / path.name).write_bytes(path.read_bytes())
    config = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps({**config, "model_type": "nobodys", "architectures": ["Nobodys"]}))
    with pytest.raises(Unsupported, match=r"config\.json: transformers \S+ cannot read it"):
        make_reference(tmp_path, odd)


def test_a_window_longer_than_the_context_is_refused(tmp_path: Path, snapshot: Path) -> None:
    text = make_text(tmp_path / "text")
    context = make_context(tmp_path / "work", {**source_inputs(snapshot, tmp_path / "source"), "evaluation-text": text})
    with pytest.raises(InvalidRecipe, match=r"'evaluation\.window_tokens' is 512, and the source's context holds 256"):
        reference(ReferenceParameters(settings=EvaluationSettings(window_tokens=512)), context)
