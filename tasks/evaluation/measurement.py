"""A measured number with its uncertainty, and the names that gates and reports know them by."""

from tasks.model import Model


class Measurement(Model):
    """A value, its standard error (None where it is a count or an extreme) and how many observations it rests on."""

    value: float
    standard_error: float | None = None
    observations: int = 1


class Evaluation(Model):
    """All that `evaluate` found out about one artifact; `notes` are sentences for the report (first mismatches ...)."""

    engine: str
    emulated: bool
    metrics: dict[str, Measurement]
    notes: tuple[str, ...] = ()


class Benchmark(Model):
    """All that `benchmark` measured: how, where, and the numbers."""

    engine: str
    threads: int
    hardware: str
    prompt_tokens: int
    generated_tokens: int
    repetitions: int
    metrics: dict[str, Measurement]


FIDELITY_METRICS = {
    "perplexity": "perplexity on the evaluation text",
    "reference_perplexity": "the source model's perplexity on the same tokens",
    "delta_ln_perplexity": "mean difference of negative log-likelihood per token, in nats",
    "kld_mean": "mean Kullback-Leibler divergence from the source's next-token distribution, in nats",
    "kld_median": "its median",
    "kld_p99": "its 99th percentile",
    "kld_max": "its maximum",
    "top1_agreement": "share of tokens where the most likely next token is the source's",
    "answer_recall": "share of the evaluation text's questions answered exactly, greedily",
    "reference_answer_recall": "the same for the source",
    "generation_agreement": "share of greedy tokens equal to the source's up to the first difference",
}
PARITY_METRICS = {
    "tokenizer_parity": "share of texts that the artifact's own tokenizer cuts as the source's does",
    "chat_template_parity": "share of chats that the artifact's own template renders as the source's does",
}
SIZE_METRICS = {
    "size_bytes": "bytes of the files that an engine loads",
    "bits_per_weight": "those bytes' bits by the source's parameters",
}
SPEED_METRICS = {
    "load_seconds": "seconds from nothing to a loaded model",
    "prefill_tokens_per_second": "prompt tokens a second",
    "decode_tokens_per_second": "generated tokens a second, one sequence",
    "time_to_first_token_ms": "milliseconds from the prompt to the first token",
    "inter_token_p50_ms": "median milliseconds between tokens",
    "inter_token_p95_ms": "95th percentile of milliseconds between tokens",
    "peak_memory_bytes": "peak resident memory of the process that serves",
}
METRICS = FIDELITY_METRICS | PARITY_METRICS | SIZE_METRICS | SPEED_METRICS
"""Every number that a gate may bind."""
