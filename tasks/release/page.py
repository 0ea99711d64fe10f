"""Renders the report as one HTML page. The template engine escapes every string."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.engines.base import Usage
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.metrics import ANSWER_METRICS, METRICS, PARITY_METRICS, SPEED_METRICS
from tasks.gates.control import say_divergences
from tasks.gates.verdict import Answer
from tasks.gates.wording import say_error, say_rule, say_value
from tasks.release import units
from tasks.release.advice import advice
from tasks.release.current import Current
from tasks.release.lineage import Evidence, ProofEvidence, Step, versions
from tasks.release.noise import NAME, beside_targets, noise_line, source_noise
from tasks.release.picture import Picture, Point, draw
from tasks.release.record import Release, ReleasedTarget
from tasks.release.table import FOOTNOTE, columns_of, mark, same_reason_above, texts_differ, tokens_compared
from tasks.release.usage import Context, usages
from tasks.release.withheld import rolled_back_from
from tasks.store.base import Store

TENSORS = 12
"""How many tensors of a target the page shows: the faulty ones, then those nearest to the end of their band."""

TEMPLATE = "report.html.jinja"
FIDELITY = (
    "perplexity", "reference_perplexity", "delta_ln_perplexity", "kld_median", "kld_max", "kld_long",
    "context_compared", "generation_agreement",
)  # fmt: skip
PARITY = tuple(PARITY_METRICS)
SPEED = tuple(SPEED_METRICS)


def render(
    release: Release,
    evidence: Sequence[Evidence],
    steps: Sequence[Step],
    current: Current,
    description: str,
    owner: str,
    store: Store,
    context: Context = "compared",
) -> str:
    """Return the page: one HTML document that has no scripts and loads nothing."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        say_value=say_value,
        say_error=say_error,
        bound=say_rule,
        seconds=units.seconds,
        bytes_text=units.bytes_text,
        minute=units.minute,
        seen=_seen,
        mark=mark,
        metrics=METRICS,
    )
    same, columns = same_reason_above(release.targets), columns_of(release)
    rows = [
        _Row(known, release.targets, current, store, context, same.get(known.released.target)) for known in evidence
    ]
    noise = beside_targets(source_noise(release))
    return environment.get_template(TEMPLATE).render(
        release=release,
        description=description,
        owner=owner,
        outcome=outcome(release),
        rows=rows,
        proofs=[proof for row in rows for proof in row.proofs],
        columns=columns,
        texts_differ=texts_differ(release),
        tokens_compared=tokens_compared,
        picture=picture(evidence, noise.get("kld_mean")),
        noise=noise,
        noise_name=NAME,
        noise_line=noise_line(_noise_type(steps)),
        more_columns=[
            name for name in (*FIDELITY, *PARITY, *ANSWER_METRICS) if _measured(release, name) and name not in columns
        ],
        speed_columns=[name for name in SPEED if _measured(release, name)],
        benches=_benches([proof for row in rows for proof in row.proofs]),
        disturbances=_disturbances([proof for row in rows for proof in row.proofs]),
        footnote=FOOTNOTE,
        steps=steps,
        versions=versions(steps),
        uses_s3=store.url.startswith("s3://"),
    )


@dataclass(frozen=True)
class _ProofRow:
    """A proof of a target with the name that it has in the tables."""

    known: ProofEvidence
    name: str


class _Row:
    """A target with everything that the page shows about it."""

    def __init__(
        self,
        known: Evidence,
        all_targets: Sequence[ReleasedTarget],
        current: Current,
        store: Store,
        context: Context,
        same_as: str | None,
    ) -> None:
        self.known = known
        self.target = known.released
        self.reason = f"for the same reason as {same_as}" if same_as else known.released.reason
        self.several = len(known.proofs) > 1
        self.proofs = [_ProofRow(proof, self._name_of(proof)) for proof in known.proofs]
        # The comparison of weights belongs to the artifact, so it is the same in all proofs.
        self.integrity = next((proof.integrity for proof in known.proofs if proof.integrity), None)
        self.worst_tensors = self.integrity.nearest[:TENSORS] if self.integrity else []
        self.usages: list[Usage] = []
        if known.artifact:
            self.usages = usages(known.released, known.artifact, store.uri(known.artifact.own_name), context)
        self.sentences = [*self._what_it_is_good_for(all_targets), *self._what_serves_now(current)]

    def _name_of(self, proof: ProofEvidence) -> str:
        """Return the name of a proof in the tables: the target's, with the pool if there are several."""
        return f"{self.target.target}, {proof.released.pool}" if self.several else self.target.target

    def _what_it_is_good_for(self, all_targets: Sequence[ReleasedTarget]) -> Iterator[str]:
        if line := advice(self.target, all_targets):
            yield line
        for proof in self.known.proofs[:1]:
            # A block gives both numbers as its reason.
            if proof.control and (both := proof.control.divergence) and not both.is_worse:
                yield f"Against its control, the same type without calibration: {say_divergences(both)}."

    def _what_serves_now(self, current: Current) -> Iterator[str]:
        if self.target.version:
            same = "" if self.target.new else ", the same files as before"
            yield f"Registered as version {self.target.version}{same}."
            if earlier := rolled_back_from(current, self.target):
                yield f"Not promoted: a person rolled back these files from release {earlier}."
        elif self.target.outcome in ("blocked", "failed", "unproven"):
            for names in current.names.values():
                if names.champion.target == self.target.target:
                    kept = names.champion
                    yield f"Version {kept.version}, of release {kept.release_id}, stays champion."


def outcome(release: Release) -> str:
    """Return one sentence that says how the release ended."""
    if release.unchanged_since:
        return f"Nothing new: files and verdicts are those of release {release.unchanged_since}."
    counts = Counter(
        f"{target.outcome} as expected" if target.outcome == "blocked" and target.expect_blocked else target.outcome
        for target in release.targets
    )
    parts = ", ".join(f"{count} {word}" for word, count in sorted(counts.items(), key=lambda pair: pair[0] != "passed"))
    return f"{len(release.targets)} targets: {parts}."


def _noise_type(steps: Sequence[Step]) -> str | None:
    """Return the type in which the reference measured the source's noise."""
    types = (step.manifest.facts.get("noise_type") for step in steps if step.task == "reference")
    return next((str(found) for found in types if found), None)


def picture(evidence: Sequence[Evidence], noise: Measurement | None = None) -> Picture | None:
    """Return the picture of size against KLD, with every target that has both numbers; None where no target has.

    noise: the source's mean KLD from itself.
    """
    points = []
    for known in evidence:
        metrics = known.released.metrics
        if known.released.outcome in ("passed", "blocked") and {"size_bytes", "kld_mean"} <= set(metrics):
            size = metrics["size_bytes"].value / 1e6
            points.append(Point(known.released.target, size, metrics["kld_mean"], known.released.outcome == "passed"))
    gates = Counter(
        answer.rule.maximum
        for known in evidence
        for proof in known.proofs[:1]
        for answer in (proof.verdict.answers if proof.verdict else ())
        if answer.rule.metric == "kld_mean" and answer.rule.maximum is not None
    )
    return draw(points, gates.most_common(1)[0][0] if gates else None, noise.value if noise else None)


def _seen(answer: Answer) -> str:
    """Return the answer's line without the metric's name, which is in another column."""
    return answer.why.removeprefix(METRICS[answer.rule.metric].label).lstrip(": ")


def _measured(release: Release, metric: str) -> bool:
    return any(metric in proof.metrics for target in release.targets for proof in target.proofs)


def _benches(proofs: Sequence[_ProofRow]) -> list[str]:
    """Return one sentence per workload that was timed, then the notes. A speed means nothing without them.

    A note that is not of all proofs begins with the names of those that it is of.
    """
    workloads, noted = dict[str, None](), defaultdict[str, list[str]](list)
    timed = [(proof.name, bench) for proof in proofs if (bench := proof.known.benchmark)]
    for name, bench in timed:
        threads = f"{bench.threads} thread{'s' if bench.threads > 1 else ''}"
        workloads[
            f"{bench.engine}: {bench.prompt_tokens} prompt tokens, {bench.generated_tokens} generated, "
            f"batch of one, {bench.repetitions} repetitions, {threads}, {bench.hardware}"
        ] = None
        for note in bench.notes:
            noted[note.rstrip(".")].append(name)
    return [
        *workloads,
        *(note if len(names) == len(timed) else f"{', '.join(names)}: {note}" for note, names in noted.items()),
    ]


def _disturbances(proofs: Sequence[_ProofRow]) -> list[str]:
    """Return one clause for each proof whose timings were disturbed."""
    return [f"{proof.name}: {proof.known.released.disturbed}" for proof in proofs if proof.known.released.disturbed]
