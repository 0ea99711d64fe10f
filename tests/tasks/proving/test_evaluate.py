import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.checkpoint.analysis import Analysis
from tasks.engines.base import Server
from tasks.errors import Corrupt, ToolFailed, Unmeasured
from tasks.evaluation.caveats import Caveat, as_facts
from tasks.evaluation.measure import measure
from tasks.evaluation.measurement import Evaluation, Measurement, WindowDivergences
from tasks.evaluation.metrics import FIDELITY_METRICS, PARITY_METRICS, SERVER_PARITY, SIZE_METRICS
from tasks.evaluation.reference_files import Noise, ReferenceInfo, ServedCases, read_part
from tasks.formats.base import Target
from tasks.host.tools import HOST_FIXES
from tasks.proving import evaluate as module
from tasks.proving.evaluate import evaluate
from tasks.proving.parameters import EvaluateParameters
from tests.fixtures.context import FolderContext, make_context
from tests.tasks.evaluation.toy import ANALYSIS, WINDOWS, ToyModel, ToyRunner, write_reference

ALL = {*FIDELITY_METRICS, *PARITY_METRICS, *SIZE_METRICS} - {SERVER_PARITY}
PARAMETERS = EvaluateParameters(
    target=Target(name="toy-f32", format="toy", scheme="f32", maker="toy", engines=("toy",))
)


def toy_format(server: Server | None = None) -> SimpleNamespace:
    return SimpleNamespace(weights=("*.toy",), engine=lambda target: SimpleNamespace(server=server))


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> ToyRunner:
    toy = ToyRunner()
    monkeypatch.setattr(module, "check_artifact", lambda target, folder, threads: lambda: toy)
    monkeypatch.setattr(module, "load_format", lambda name: toy_format())
    return toy


@pytest.fixture
def context(tmp_path: Path) -> FolderContext:
    artifact, analysis = tmp_path / "artifact", tmp_path / "analysis"
    (artifact / "code").mkdir(parents=True)
    analysis.mkdir()
    (artifact / "weights.toy").write_bytes(bytes(500))
    (artifact / "MLmodel").write_text("flavors: {}\n")
    (artifact / "code" / "serving.py").write_text("pass\n")
    (analysis / "analysis.json").write_text(Analysis(**ANALYSIS).to_json())
    reference = write_reference(tmp_path / "reference")
    return make_context(tmp_path / "work", {"artifact": artifact, "reference": reference, "analysis": analysis})


@pytest.mark.parametrize("identical", [0.0, 1.0])
def test_the_comparison_knows_whether_the_weights_are_the_sources(
    runner: ToyRunner, context: FolderContext, monkeypatch: pytest.MonkeyPatch, identical: float
) -> None:
    """The gate applies another noise floor then. If the comparison did not, it would end too early."""
    given = context.output.parent / "integrity"
    given.mkdir()
    added = make_context(given / "context", {"integrity": given}, {"integrity": {"weights_identical": identical}})
    context.folders = {**context.folders, **added.folders}
    context.inputs = {**context.inputs, **added.inputs}
    seen: list[dict[str, Measurement]] = []

    def recorded(*given: Any) -> tuple[Evaluation, WindowDivergences, dict[str, str]]:
        seen.append(given[-1])
        return measure(*given)

    monkeypatch.setattr(module, "measure", recorded)
    evaluate(PARAMETERS, context)
    assert seen[0]["weights_identical"].value == identical


def test_every_metric_is_measured_and_written(runner: ToyRunner, context: FolderContext) -> None:
    facts = evaluate(PARAMETERS, context)
    written = Evaluation.from_json((context.output / "evaluation.json").read_text())
    assert set(written.metrics) == ALL
    assert written.engine == "toy 1.0"
    assert facts["kld_mean"] < 1e-6
    assert facts["not_applicable"] == [SERVER_PARITY] and facts["causes"] == {}
    assert facts["generation_agreement"] == facts["tokenizer_parity"] == facts["chat_template_parity"] == 1
    assert facts["answer_recall"] == facts["reference_answer_recall"] == 0.4
    assert (facts["size_bytes"], facts["bits_per_weight"]) == (500, 4)
    assert context.versions == {"toy": "1.0"}
    assert runner.closed


def test_the_divergence_of_each_window_is_kept_for_comparisons(runner: ToyRunner, context: FolderContext) -> None:
    runner.model = ToyModel(9000.0)
    facts = evaluate(PARAMETERS, context)
    kept = WindowDivergences.from_json((context.output / "windows.json").read_text())
    assert kept.windows == tuple(range(WINDOWS))
    assert sum(kept.kld) / WINDOWS == pytest.approx(facts["kld_mean"], rel=1e-4)


def test_the_sources_own_noise_comes_with_the_numbers(runner: ToyRunner, context: FolderContext) -> None:
    path = context.materialize("reference") / "reference.json"
    metrics = {name: Measurement(value=0.001) for name in ("kld_mean", "kld_p99")}
    noise = Noise(type="bfloat16", tokens=64, metrics=metrics, repeated=Measurement(value=1e-9))
    info = ReferenceInfo.from_json(path.read_bytes()).model_copy(update={"noise": noise})
    path.write_text(info.to_json())
    facts = evaluate(PARAMETERS, context)
    assert (facts["noise_type"], facts["noise_kld_mean"]) == ("bfloat16", 0.001)
    written = Evaluation.from_json((context.output / "evaluation.json").read_text())
    assert set(written.metrics) == ALL | {"noise_kld_mean", "noise_kld_p99", "repeat_kld_mean"}


def test_what_the_conversion_could_not_do_stands_in_the_notes(runner: ToyRunner, context: FolderContext) -> None:
    """The report shows the notes. No metric knows of experts that no calibration text reached."""
    window, nfc = Caveat(text="no window is used"), Caveat(text="no NFC", explains="tokenizer_parity")
    facts = {**as_facts([window, nfc]), "caveats": ["Seven experts were not reached."]}
    artifact = context.inputs["artifact"].model_copy(update={"facts": facts})
    context.inputs = {**context.inputs, "artifact": artifact}
    evaluate(PARAMETERS, context)
    written = Evaluation.from_json((context.output / "evaluation.json").read_text())
    assert written.notes[-2:] == ("No window is used.", "Seven experts were not reached.")
    assert not [note for note in written.notes if "NFC" in note], "the verdict says it, with the metric"


def test_an_evaluation_that_lacks_a_number_is_not_written(
    runner: ToyRunner, context: FolderContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "measure_size", lambda artifact, weights, parameters: {})
    with pytest.raises(Unmeasured, match="size_bytes"):
        evaluate(PARAMETERS, context)
    assert list(context.output.iterdir()) == []


def test_a_broken_artifact_frees_its_engine_and_leaves_no_evaluation(runner: ToyRunner, context: FolderContext) -> None:
    runner.vocabulary_size = 8
    with pytest.raises(Corrupt):
        evaluate(PARAMETERS, context)
    assert runner.closed
    assert list(context.output.iterdir()) == []


def test_an_artifact_without_weights_costs_no_measuring(
    runner: ToyRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, analysis = tmp_path / "artifact", tmp_path / "analysis"
    for folder in (artifact, analysis):
        folder.mkdir()
    (artifact / "config.json").write_text("{}")
    (analysis / "analysis.json").write_text(Analysis(**ANALYSIS).to_json())
    context = make_context(
        tmp_path / "work",
        {"artifact": artifact, "reference": write_reference(tmp_path / "reference"), "analysis": analysis},
    )
    monkeypatch.setattr(module, "measure", lambda *_: pytest.fail("measured first"))
    with pytest.raises(Unmeasured, match="no file of weights"):
        evaluate(PARAMETERS, context)


def planted_server(folder: Path, facts: Mapping[str, Any], chats: Sequence[Any], scratch: Path) -> list[Any]:
    """A server that reads what its artifact's facts say; the text "dies" stands for one that does not start."""
    if facts["read"] == "dies":
        raise ToolFailed("unknown filter 'x': it failed with exit status 1. Its last lines:\nunknown filter 'x'")
    if facts["read"] == "illegal":
        raise ToolFailed(f"no message: the server crashed with SIGILL; {HOST_FIXES[signal.SIGILL]}.")
    return [facts["read"]] * len(chats)


@pytest.mark.parametrize(
    ("read", "value", "told"),
    [
        ("the source's", 1.0, None),
        ((1, 2), 0.0, "is read as [1, 2] from token 0 on, and by the source as ["),
        ("no system message here", 0.0, " is refused (no system message here); use MLflow for chats."),
        ("dies", 0.0, "is refused (unknown filter 'x': it failed with exit status 1); use MLflow for chats."),
    ],
)
def test_the_engines_own_server_is_asked_for_the_chats(
    runner: ToyRunner,
    context: FolderContext,
    monkeypatch: pytest.MonkeyPatch,
    read: Any,
    value: float,
    told: str | None,
) -> None:
    served = read_part(context.materialize("reference"), "served.json", ServedCases)
    chats = [case for case in served.prompts if case.messages is not None]
    assert len(chats) == 1
    format = toy_format(Server(f"{__name__}:planted_server", ("read",)))
    monkeypatch.setattr(module, "load_format", lambda name: format)
    facts = {"read": chats[0].token_ids if told is None else read}
    artifact = context.inputs["artifact"].model_copy(update={"facts": facts})
    context.inputs = {**context.inputs, "artifact": artifact}
    found = evaluate(PARAMETERS, context)
    assert found[SERVER_PARITY] == value and SERVER_PARITY not in found["not_applicable"]
    notes = Evaluation.from_json((context.output / "evaluation.json").read_text()).notes
    said = [note for note in notes if note.startswith("The engine's own server reads 1 of 1 chats otherwise")]
    assert len(said) == (0 if told is None else 1) and all(told in note for note in said if told)
    assert (SERVER_PARITY in found["causes"]) == (told is not None)


def test_a_server_that_the_host_cannot_run_says_nothing_of_the_artifact(
    runner: ToyRunner, context: FolderContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    format = toy_format(Server(f"{__name__}:planted_server", ("read",)))
    monkeypatch.setattr(module, "load_format", lambda name: format)
    artifact = context.inputs["artifact"].model_copy(update={"facts": {"read": "illegal"}})
    context.inputs = {**context.inputs, "artifact": artifact}
    with pytest.raises(ToolFailed, match="run it on another host"):
        evaluate(PARAMETERS, context)
    assert not (context.output / "evaluation.json").exists()


def test_the_comparison_knows_what_the_server_read(
    runner: ToyRunner, context: FolderContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Measurement]] = []

    def recorded(*given: Any) -> tuple[Evaluation, WindowDivergences, dict[str, str]]:
        seen.append(given[-1])
        return measure(*given)

    format = toy_format(Server(f"{__name__}:planted_server", ("read",)))
    monkeypatch.setattr(module, "load_format", lambda name: format)
    monkeypatch.setattr(module, "measure", recorded)
    artifact = context.inputs["artifact"].model_copy(update={"facts": {"read": (1, 2)}})
    context.inputs = {**context.inputs, "artifact": artifact}
    evaluate(PARAMETERS, context)
    assert seen[0][SERVER_PARITY].value == 0.0
