"""The one table of metrics: every number that is measured on an artifact, and that a gate may bound.

To add a metric: add a line here, and measure it in tasks/evaluation/measure.py (a timing in speed.py or batches.py).
Gates, registry and report take it from there.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One number.

    meaning: what it is, in words, with its unit as it is stored.
    label: its name in tables and messages.
    better: which way is better; None for a number that only describes.
    factor, unit: from the stored number to the one that people read, and that one's sign.
    digits: significant digits shown at least; for numbers whose uncertainty is mostly the text's, and so the same for
        all that are compared on that text.
    smallest, largest: the range of the stored number; a bound of a recipe must be within it.
    """

    meaning: str
    label: str
    better: Literal["lower", "higher"] | None
    factor: float = 1.0
    unit: str = ""
    digits: int = 1
    smallest: float = 0.0
    largest: float = math.inf

    @property
    def described(self) -> str:
        """The meaning, and which way is better."""
        return f"{self.meaning}; {self.better} is better" if self.better else self.meaning


def _share(meaning: str, label: str, better: Literal["higher"] | None = "higher") -> Metric:
    return Metric(meaning, label, better, 100.0, "%", largest=1.0)


def _bytes(meaning: str, label: str) -> Metric:
    return Metric(meaning, label, "lower", 1e-6, " MB")


WINDOW_METRICS: Mapping[str, Metric] = {
    "perplexity": Metric("perplexity on the evaluation text", "perplexity", "lower", digits=4),
    "reference_perplexity": Metric("the source's perplexity on the same tokens", "source perplexity", None, digits=4),
    "delta_ln_perplexity": Metric(
        "mean difference of negative log-likelihood per token, in nats", "Δ ln perplexity", "lower", smallest=-math.inf
    ),
    "kld_mean": Metric(
        "mean Kullback-Leibler divergence from the source's next-token distribution, in nats", "KLD mean", "lower"
    ),
    "kld_median": Metric("its median", "KLD median", "lower"),
    "kld_p99": Metric("its 99th percentile", "KLD p99", "lower"),
    "kld_max": Metric("its maximum", "KLD max", "lower"),
    "top1_agreement": _share("share of tokens where the most likely next token is the source's", "top-1 agreement"),
}
"""What the windows of the evaluation text give, token by token."""

FIDELITY_METRICS: Mapping[str, Metric] = {
    **WINDOW_METRICS,
    "kld_long": Metric(
        "largest mean divergence of a stretch of the long window, between lengths at which the model changes, in nats",
        "KLD long",
        "lower",
    ),
    "context_compared": Metric(
        "tokens of the longest text on which the artifact was compared with the source",
        "compared context",
        "higher",
        unit=" tokens",
    ),
    "answer_recall": _share("share of the evaluation text's questions answered exactly, greedily", "answer recall"),
    "reference_answer_recall": _share("the same for the source", "source answer recall", None),
    "generation_agreement": _share(
        "share of greedy tokens equal to the source's up to the first difference", "generation agreement"
    ),
}
PARITY_METRICS: Mapping[str, Metric] = {
    "tokenizer_parity": _share(
        "share of texts that the artifact's own tokenizer tokenizes as the source's does", "tokenizer parity"
    ),
    "tokenizer_parity_nfc": _share(
        "the same, where a text may also be given in Unicode's form NFC, and texts with U+2581 are left out if the "
        "source takes that character for a space",
        "tokenizer parity, NFC",
    ),
    "chat_template_parity": _share(
        "share of chats that the artifact's own template renders as the source's does", "chat template parity"
    ),
    "end_token_parity": _share(
        "tokens that end a text of both source and served artifact, by those that end a text of either",
        "end token parity",
    ),
    "opening_parity": _share(
        "share of prompts and chats that the served artifact reads as the source's ids, opening tokens included",
        "opening parity",
    ),
    "continuation_parity": _share(
        "share of continuations whose tokens the served artifact turns into the source's text", "continuation parity"
    ),
    "server_chat_parity": _share(
        "share of chats that the engine's own server reads as the source's ids", "chat parity of the server"
    ),
}
INTEGRITY_METRICS: Mapping[str, Metric] = {
    "tensors_covered": _share(
        "share of the tensors of source and artifact that are stored, or left out or added for a reason",
        "covered tensors",
    ),
    "tensors_faithful": _share(
        "share of the compared tensors that are as near to the source as their type allows", "faithful tensors"
    ),
    "weights_identical": Metric(
        "1 if every stored weight equals the source's, bit by bit, and 0 if not", "identical weights", None, largest=1.0
    ),
}
CONTROL_METRICS: Mapping[str, Metric] = {
    "weights_as_control": Metric(
        "1 if calibration left every stored weight as it is without it, and 0 if not", "calibration", None, largest=1.0
    ),
    "control_kld_mean": Metric(
        "mean divergence of the control, the same type made without calibration, on the tokens of both, in nats",
        "control KLD mean",
        None,
    ),
    "kld_above_control": Metric(
        "mean divergence minus the control's, on the tokens of both, in nats",
        "KLD above control",
        "lower",
        smallest=-math.inf,
    ),
}
"""What the comparison with a control gives; only a calibrated target has them."""
SIZE_METRICS: Mapping[str, Metric] = {
    "size_bytes": _bytes("bytes of the files that an engine loads", "size"),
    "bits_per_weight": Metric("those bytes' bits by the source's parameters", "bits per weight", "lower"),
}
SPEED_METRICS: Mapping[str, Metric] = {
    "load_seconds": Metric("seconds from nothing to a loaded model", "load time", "lower", unit=" s"),
    "prefill_tokens_per_second": Metric("prompt tokens a second", "prefill", "higher", unit=" tokens/s"),
    "prefill_2048_tokens_per_second": Metric(
        "the same, of a prompt of 2048 tokens", "prefill of 2048", "higher", unit=" tokens/s"
    ),
    "decode_tokens_per_second": Metric("generated tokens a second, one sequence", "decode", "higher", unit=" tokens/s"),
    "time_to_first_token_ms": Metric(
        "milliseconds from the prompt to the first token", "time to first token", "lower", unit=" ms"
    ),
    "inter_token_p50_ms": Metric("median milliseconds between tokens", "inter-token p50", "lower", unit=" ms"),
    "inter_token_p95_ms": Metric(
        "95th percentile of milliseconds between tokens", "inter-token p95", "lower", unit=" ms"
    ),
    "batch_decode_tokens_per_second": Metric(
        "generated tokens a second of the best batch, all its sequences together",
        "best batch",
        "higher",
        unit=" tokens/s",
    ),
    "batch_size": Metric(
        "sequences of the best batch: the one with the most tokens a second whose inter-token p95 keeps its bound",
        "size of the best batch",
        None,
        unit=" sequences",
    ),
    "batch_inter_token_p95_ms": Metric(
        "95th percentile of milliseconds between two tokens of one sequence in the best batch",
        "inter-token p95 of the best batch",
        "lower",
        unit=" ms",
    ),
    "peak_memory_bytes": _bytes("peak resident memory of the process that serves", "peak memory"),
}
NOISE_METRICS: Mapping[str, Metric] = {
    "noise_kld_mean": Metric(
        "mean divergence of the source, run in the type in which it is stored, from itself in float32, in nats",
        "noise KLD mean",
        None,
    ),
    "noise_kld_p99": Metric("its 99th percentile", "noise KLD p99", None),
    "noise_top1_agreement": _share("share of tokens where both give the same most likely token", "noise top-1", None),
    "noise_delta_ln_perplexity": Metric(
        "mean difference of their negative log-likelihood per token, in nats",
        "noise Δ ln perplexity",
        None,
        smallest=-math.inf,
    ),
    "repeat_kld_mean": Metric("mean divergence of the source, run in float32 twice, in nats", "repeat KLD mean", None),
}
"""What the reference measured of the source itself (tasks/evaluation/source_noise.py): the same for all artifacts."""
SERVER_PARITY = "server_chat_parity"
"""A parity that only artifacts have whose engine comes with a server, such as llama-server. No default gate is on it:
an artifact can be served by MLflow, too."""
ANSWER_METRICS = ("answer_recall", "reference_answer_recall")
BATCH_METRICS = frozenset({"batch_decode_tokens_per_second", "batch_size", "batch_inter_token_p95_ms"})
LONG_PROMPT_METRIC = "prefill_2048_tokens_per_second"
OPTIONAL_SPEED_METRICS = BATCH_METRICS | {LONG_PROMPT_METRIC}
"""Those that a benchmark leaves out, with a note: the context is too short, the engine too slow, or the host busy."""
INTERRUPTED = "interrupted"
"""The fact of a benchmark that lists the optional metrics whose timing other work on the host interrupted."""
CAUSES = "causes"
"""The fact of an evaluation or benchmark, clauses by metric: where a parity was lost, or why a number is missing."""
TIMED_METRICS = frozenset(SPEED_METRICS) - {"peak_memory_bytes"}
"""The metrics that get worse, never better, if something else on the host disturbs the benchmark."""
METRICS: Mapping[str, Metric] = {
    **INTEGRITY_METRICS,
    **FIDELITY_METRICS,
    **PARITY_METRICS,
    **NOISE_METRICS,
    **CONTROL_METRICS,
    **SIZE_METRICS,
    **SPEED_METRICS,
}
"""All of them."""
