"""A whole release as the store holds it, with every kind of outcome, and strings that try to break the report."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.evaluation.control import ControlComparison, PairedDivergence
from tasks.evaluation.measurement import Benchmark, Evaluation, Interval, Measurement
from tasks.gates.control import control_answers
from tasks.gates.rules import apply
from tasks.gates.verdict import Rule, Verdict
from tasks.integrity.record import ComparedTensor, Integrity
from tasks.manifest import Cost, FileEntry, Manifest
from tasks.model import Model, digest_of
from tasks.release.record import Release, ReleasedProof, ReleasedTarget, write_release
from tasks.store.artifacts import write_manifest
from tasks.store.base import Store

HOSTILE = "<script>alert('pwned')</script>\"><img src=x onerror=alert(1)> \u202e{{ 7 * 7 }} & Ünïcode 模型"
RULES = (
    Rule(metric="kld_mean", maximum=0.05, reason="Beyond it, one reads the difference in greedy text."),
    Rule(metric="top1_agreement", minimum=0.85, reason="Fewer equal first choices, and long answers drift apart."),
    Rule(metric="tokenizer_parity", minimum=1, reason="One text cut otherwise is a wrong prompt for everybody."),
)
UNPROVEN = "gguf-on-two-pools"
# target: MB, bits per weight, perplexity, KLD mean, its standard error, KLD p99, top-1, tokens/s
NUMBERS: dict[str, tuple[float, ...]] = {
    "safetensors-bf16": (4.26, 16.0, 72.824, 2e-7, 1e-8, 1e-6, 0.9997, 410),
    "gguf-q8_0": (2.29, 8.5, 72.828, 0.0001, 0.000004, 0.0006, 0.984, 1480),
    "gguf-q5_k_m": (1.61, 5.7, 72.919, 0.0019, 0.00009, 0.012, 0.953, 1610),
    "gguf-q4_k_m": (1.44, 4.9, 73.023, 0.0058, 0.0003, 0.041, 0.923, 1705),
    "gguf-q4_0": (1.38, 4.5, 73.672, 0.0091, 0.0004, 0.062, 0.905, 1780),
    "gguf-q2_k": (1.07, 3.1, 76.959, 0.0591, 0.0021, 0.37, 0.771, 1820),
    "onnx-fp32": (8.60, 32.0, 72.823, 1e-9, 1e-10, 1e-8, 1.0, 390),
    "onnx-int8": (2.41, 8.9, 72.99, 0.0049, 0.0002, 0.033, 0.931, 520),
}


CALIBRATED = "gguf-q4_k_m"
CONTROL = ControlComparison(
    target=CALIBRATED,
    unchanged=False,
    divergence=PairedDivergence(
        windows=8,
        target=Measurement(value=0.0058, standard_error=0.0003, observations=2040),
        control=Measurement(value=0.0064, standard_error=0.0003, observations=2040),
        above=Measurement(value=-0.0006, standard_error=0.0001, observations=2040),
        interval=Interval(low=-0.001, high=-0.0002),
    ),
)
"""What the control of one target has shown."""

NOISE = {
    "noise_kld_mean": Measurement(value=0.00015, standard_error=0.00002, observations=2040),
    "noise_kld_p99": Measurement(value=0.0011),
    "noise_top1_agreement": Measurement(value=0.991, standard_error=0.002),
    "noise_delta_ln_perplexity": Measurement(value=-0.0002),
    "repeat_kld_mean": Measurement(value=3e-9),
}
"""What the reference measured of the source itself: the same in every evaluation."""


class Sampler:
    """Writes artifacts of a release into a store, an hour ago and then minute by minute."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._time = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def keep(
        self,
        kind: str,
        files: dict[str, bytes],
        inputs: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
        versions: dict[str, str] | None = None,
        facts: dict[str, Any] | None = None,
    ) -> Manifest:
        """Store files as an artifact of one task."""
        key = digest_of([kind, sorted(files), inputs or {}, parameters or {}, str(self._time)])
        self._time += timedelta(minutes=1)
        entries = []
        for path, data in files.items():
            sent = self.store.put_bytes(f"artifacts/{key}/sample/{path}", data)
            entries.append(FileEntry(path=path, size=sent.size, sha256=sent.sha256))
        cost = Cost(
            wall_seconds=12.34,
            cpu_seconds=11.2,
            peak_memory_bytes=412_000_000,
            bytes_read=9_100_000,
            bytes_written=4_300_000,
        )
        manifest = Manifest(
            key=key,
            attempt="sample",
            kind=kind,
            created=self._time,
            files=tuple(entries),
            inputs=inputs or {},
            parameters=parameters or {},
            versions={"python": "3.11.7", **(versions or {})},
            facts=facts or {},
            cost=cost,
        )
        write_manifest(self.store, manifest)
        return manifest

    def document(self, kind: str, file: str, document: Model, inputs: dict[str, str]) -> str:
        """Store one JSON document as a task's artifact and return its key."""
        return self.keep(kind, {file: document.to_json().encode()}, inputs).key


def sample_release(store: Store, text: str = "an unremarkable text") -> Release:
    """Return a release that lies in the store whole; `text` is put wherever others' words come into the report."""
    sampler = Sampler(store)
    snapshot = sampler.keep("fetch", {"config.json": b"{}", "model.safetensors": b"w" * 500}, versions={"hub": "2.4.0"})
    reference = sampler.keep(
        "reference",
        {"reference.json": b"{}"},
        {"snapshot": snapshot.key},
        versions={"torch": "2.13.0"},
        facts={"noise_type": "bfloat16"},
    )
    targets = [_measured(sampler, name, snapshot.key, reference.key, text) for name in NUMBERS]
    targets.append(_proven_twice(targets[1], text))
    targets.append(ReleasedTarget(target="gguf-q6_k", format="gguf", outcome="failed", reason=f"convert: {text}"))
    targets.append(
        ReleasedTarget(target="gguf-q4_1", format="gguf", outcome="skipped", reason="not chosen", required=False)
    )
    release = Release(
        release_id="manual__2026-11-23T01:00:00+00:00",
        repository="acme/tiny-llama",
        commit="0123456789abcdef0123456789abcdef01234567",
        licence=text,
        licence_link=text,
        recipe="demo",
        created=datetime(2026, 11, 23, 1, 0, tzinfo=UTC),
        targets=tuple(targets),
    )
    write_release(store, release)
    return release


def _proven_twice(measured: ReleasedTarget, text: str) -> ReleasedTarget:
    """Return a target that passed in one pool, with the documents of another one, and had no place in a second pool."""
    (proof,) = measured.proofs
    absent = ReleasedProof(pool="gpu-l4", outcome="unproven", reason=f"no such pool: {text}")
    return measured.model_copy(
        update={
            "target": UNPROVEN,
            "outcome": "unproven",
            "reason": f"gpu-l4: {absent.reason}",
            "required": False,
            "proofs": (proof, absent),
            "registered_name": None,
            "version": None,
            "new": False,
        }
    )


def _measured(sampler: Sampler, name: str, snapshot: str, reference: str, text: str) -> ReleasedTarget:
    size, bits, perplexity, kld, error, p99, top1, speed = NUMBERS[name]
    format = name.split("-")[0]
    file = {"gguf": f"Tiny-Llama-{name[5:].upper()}.gguf", "onnx": "model.onnx", "safetensors": "model.safetensors"}[
        format
    ]
    artifact = sampler.keep(
        "convert",
        {"MLmodel": b"flavors: {}", file: b"w" * 1000},
        {"snapshot": snapshot},
        {"target": {"name": name}},
        {"llama.cpp": "0.3.36"} if format == "gguf" else {},
    )
    fidelity = {
        **NOISE,
        "perplexity": Measurement(value=perplexity, standard_error=0.9),
        "reference_perplexity": Measurement(value=72.824, standard_error=0.9),
        "kld_mean": Measurement(value=kld, standard_error=error, observations=16384),
        "kld_p99": Measurement(value=p99),
        "top1_agreement": Measurement(value=top1, standard_error=0.002),
        "tokenizer_parity": Measurement(value=1.0, observations=1012),
        "size_bytes": Measurement(value=size * 1e6),
        "bits_per_weight": Measurement(value=bits),
    }
    speeds = {
        "decode_tokens_per_second": Measurement(value=float(speed), standard_error=speed / 60),
        "time_to_first_token_ms": Measurement(value=41.2, standard_error=0.8),
        "peak_memory_bytes": Measurement(value=2.1e8),
    }
    evaluation = Evaluation(engine=f"{format}-engine 1.2", metrics=fidelity, notes=(f"A note: {text}",))
    benchmark = Benchmark(
        engine=f"{format}-engine 1.2",
        threads=1,
        hardware="a processor",
        prompt_tokens=128,
        generated_tokens=64,
        repetitions=5,
        metrics=speeds,
    )
    inputs = {"artifact": artifact.key, "reference": reference}
    evaluation_key = sampler.document("evaluate", "evaluation.json", evaluation, inputs)
    benchmark_key = sampler.document("benchmark", "benchmark.json", benchmark, inputs)
    integrity = Integrity(
        target=name,
        tensors=(
            ComparedTensor(
                name="blk.0.up",
                sources=("up", "up.1"),
                how="permuted",
                type="q8",
                elements=64,
                error=0.0041,
                allowed_error=0.0065,
                scale=1.0001,
                allowed_scale=0.001,
            ),
        ),
        constants={"rope": "factors of the rotary frequencies"},
        dropped={"mtp.head": "a layer that predicts further tokens"},
        not_compared={"odd": "nobody knows how it is made"},
        source_tensors=2,
    )
    integrity_key = sampler.document("compare_weights", "integrity.json", integrity, {"artifact": artifact.key})
    metrics = {**integrity.metrics, **fidelity, **speeds}
    answers = tuple(apply(rule, metrics) for rule in RULES)
    judged = {"integrity": integrity_key, "evaluation": evaluation_key, "benchmark": benchmark_key}
    if name == CALIBRATED:
        control = sampler.keep("convert", {file: b"v" * 1000}, {"snapshot": snapshot}, {"target": {"name": name}})
        given = {**inputs, "control": control.key, "evaluation": evaluation_key}
        files = {"control.json": CONTROL.to_json().encode()}
        judged["control"] = sampler.keep("compare_control", files, given, {"target": {"name": name}}).key
        answers += control_answers(CONTROL)
        metrics |= CONTROL.metrics
    verdict = Verdict(
        target=name,
        engine=evaluation.engine,
        pool="cpu",
        artifact=artifact.key,
        files_digest=artifact.files_digest,
        passed=all(answer.outcome == "pass" for answer in answers),
        answers=answers,
    )
    verdict_key = sampler.document(
        "gate",
        "verdict.json",
        verdict,
        inputs | judged,
    )
    return ReleasedTarget(
        target=name,
        format=format,
        outcome="passed" if verdict.passed else "blocked",
        reason=verdict.reason,
        expect_blocked=name == "gguf-q2_k",
        proofs=(
            ReleasedProof(
                engine=evaluation.engine,
                pool="cpu",
                outcome="passed" if verdict.passed else "blocked",
                reason=verdict.reason,
                verdict=verdict_key,
                evaluation=evaluation_key,
                benchmark=benchmark_key,
                metrics=metrics,
            ),
        ),
        artifact=artifact.key,
        files_digest=artifact.files_digest,
        size_bytes=artifact.size,
        registered_name=f"acme--tiny-llama--{name}" if verdict.passed else None,
        version="1" if verdict.passed else None,
        new=verdict.passed,
    )
