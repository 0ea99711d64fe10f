from pathlib import Path

import pytest

from tasks.checkpoint.analysis import Analysis
from tasks.errors import Corrupt, Unmeasured
from tasks.evaluation import evaluate as module
from tasks.evaluation.evaluate import absent_metrics, check_complete, evaluate, measure
from tasks.evaluation.measurement import FIDELITY_METRICS, PARITY_METRICS, SIZE_METRICS, Evaluation, Measurement
from tasks.evaluation.parameters import EvaluateParameters
from tasks.evaluation.size import measure_size
from tasks.formats.base import Target
from tests.fixtures.context import FolderContext, make_context, manifest_of
from tests.tasks.evaluation.toy import ANALYSIS, ToyRunner, write_reference

ALL = {*FIDELITY_METRICS, *PARITY_METRICS, *SIZE_METRICS}
PARAMETERS = EvaluateParameters(target=Target(name="toy-f32", format="toy", quantization="f32"))


def ignore(message: str, fraction: float | None = None) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> ToyRunner:
    toy = ToyRunner()
    monkeypatch.setattr(module, "open_artifact", lambda format_name, folder, threads: toy)
    return toy


@pytest.fixture
def context(tmp_path: Path) -> FolderContext:
    artifact, analysis = tmp_path / "artifact", tmp_path / "analysis"
    (artifact / "code").mkdir(parents=True)
    analysis.mkdir()
    (artifact / "toy.gguf").write_bytes(bytes(500))
    (artifact / "MLmodel").write_text("flavors: {}\n")
    (artifact / "code" / "serving.py").write_text("pass\n")
    (analysis / "analysis.json").write_text(Analysis(**ANALYSIS).to_json())
    reference = write_reference(tmp_path / "reference")
    return make_context(tmp_path / "work", {"artifact": artifact, "reference": reference, "analysis": analysis})


def test_every_metric_is_measured_and_written(runner: ToyRunner, context: FolderContext) -> None:
    facts = evaluate(PARAMETERS, context)
    written = Evaluation.from_json((context.output / "evaluation.json").read_text())
    assert set(written.metrics) == ALL
    assert written.engine == "toy 1.0"
    assert not written.emulated
    assert facts["kld_mean"] < 1e-6
    assert facts["not_applicable"] == []
    assert facts["generation_agreement"] == facts["tokenizer_parity"] == facts["chat_template_parity"] == 1
    assert facts["answer_recall"] == facts["reference_answer_recall"] == 0.4
    assert (facts["size_bytes"], facts["bits_per_weight"]) == (500, 4)
    assert context.versions == {"toy": "1.0"}
    assert runner.closed


def test_an_evaluation_that_lacks_a_number_is_not_written(
    runner: ToyRunner, context: FolderContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "measure_size", lambda artifact, parameters: {})
    with pytest.raises(Unmeasured, match="size_bytes"):
        evaluate(PARAMETERS, context)
    assert list(context.output.iterdir()) == []


def test_a_broken_artifact_frees_its_engine_and_leaves_no_evaluation(runner: ToyRunner, context: FolderContext) -> None:
    runner.vocabulary_size = 8
    with pytest.raises(Corrupt):
        evaluate(PARAMETERS, context)
    assert runner.closed
    assert list(context.output.iterdir()) == []


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_missing_metric_is_named(name: str) -> None:
    metrics = {known: Measurement(value=1.0) for known in ALL - {name}}
    with pytest.raises(Unmeasured, match=f"^{name} "):
        check_complete(Evaluation(engine="toy 1.0", emulated=False, metrics=metrics), set())


def test_without_template_and_questions_their_metrics_do_not_exist(tmp_path: Path) -> None:
    reference = write_reference(tmp_path / "reference", chats=False, questions=False)
    found = measure(ToyRunner(), reference, ignore)
    absent = {"chat_template_parity", "answer_recall", "reference_answer_recall"}
    assert absent_metrics(reference) == absent
    assert set(found.metrics) == ALL - absent - set(SIZE_METRICS)
    assert found.notes == ("The evaluation text asks no questions, so answer recall was not measured.",)


def test_notes_of_all_parts_are_kept(tmp_path: Path) -> None:
    runner = ToyRunner()
    runner.letters = runner.letters[::-1]
    notes = measure(runner, write_reference(tmp_path / "reference"), ignore).notes
    assert any(note.startswith("Tokenizer, text ") for note in notes)


@pytest.mark.parametrize("name", ["reference.json", "generations.json", "parity.json", "hidden.npy", "head.npy"])
def test_a_reference_that_lacks_a_file_is_refused(tmp_path: Path, name: str) -> None:
    reference = write_reference(tmp_path / "reference")
    (reference / name).unlink()
    with pytest.raises(Corrupt, match=name):
        measure(ToyRunner(), reference, ignore)


def test_size_counts_weights_in_every_format_and_nothing_else(tmp_path: Path) -> None:
    for name, size in {
        "model.onnx": 10, "model.onnx.data": 20, "a/model-00001-of-00002.safetensors": 30, "m-00001-of-00003.gguf": 40,
        "tokenizer.json": 1000, "MLmodel": 1000, "model.safetensors.index.json": 1000,
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    metrics = measure_size(manifest_of(tmp_path), 50)
    assert (metrics["size_bytes"].value, metrics["bits_per_weight"].value) == (100, 16)


def test_an_artifact_without_weights_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(Unmeasured, match="no file of weights"):
        measure_size(manifest_of(tmp_path), 50)
