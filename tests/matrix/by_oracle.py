"""What must hold of every evaluation: it reports what the oracle finds on the same text, up to rounding."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.checkpoint.analysis import Analysis
from tasks.evaluation.measurement import Evaluation
from tasks.evaluation.reference_files import ParityTexts, read_part
from tasks.proving.evaluate import evaluate
from tasks.proving.parameters import EvaluateParameters
from tests.fixtures.context import make_context
from tests.matrix.cases import Case
from tests.matrix.make import FACTS, LONG_TOKENS
from tests.oracle import numbers
from tests.oracle.windows import Cut, cut_by_file

Rows = Callable[[NDArray[np.int64]], NDArray[Any]]
"""The artifact's logits [windows, tokens, vocabulary] for ids [windows, tokens], by the oracle."""


def evaluated(case: Case, folder: Path, work: Path) -> Evaluation:
    """Return what the product reports of the artifact."""
    root = folder / case.arch
    inputs = {"artifact": root / case.target, "reference": root / "reference", "analysis": root / "analysis"}
    facts = json.loads((root / case.target / FACTS).read_text())
    context = make_context(work, {name: path / "output" for name, path in inputs.items()}, {"artifact": facts})
    evaluate(EvaluateParameters(target=case.parsed), context)
    return Evaluation.read_file(context.output / "evaluation.json", "evaluation.json")


def check_numbers(case: Case, folder: Path, reported: Evaluation, rows: Rows, precision: float = 0.0) -> None:
    """Fail unless perplexities, divergences and agreement are those of the oracle.

    precision: as `numbers.rounding`; 0 where the oracle's calls are the engine's.

    Rounding may choose another expert for a token, which moves its row by tenths of a nat. So where calls differ, the
    median of the divergences of a mixture of experts is compared, and not their means.
    """
    root = folder / case.arch
    known = np.load(root / "oracle.npz")
    compared = case.compared or LONG_TOKENS
    assert reported.metrics["context_compared"].value == compared
    found, long = rows(known["tokens"]), rows(known["long"][:, :compared])
    expected = numbers.compare(known["rows"], found, known["tokens"])
    worst = numbers.worst_stretch(known["long_rows"][0, :compared], long[0], known["changes"].tolist())
    source, logit = numbers.rounding(known["rows"]), numbers.rounding(known["rows"], precision)
    wanted = {
        "reference_perplexity": (
            expected.source_perplexity,
            numbers.allowed_perplexity(expected.source_perplexity, source),
        ),
        "perplexity": (expected.perplexity, numbers.allowed_perplexity(expected.perplexity, logit)),
        "kld_median": (expected.kld_median, numbers.allowed_kld(expected.kld_median, logit)),
        "kld_mean": (expected.kld_mean, numbers.allowed_kld(expected.kld_mean, logit)),
        "kld_long": (worst, numbers.allowed_kld(worst, logit)),
        "top1_agreement": (expected.top1, numbers.allowed_top1(expected.margins, logit)),
    }
    analysis = Analysis.read_file(root / "analysis" / "output" / "analysis.json", "analysis.json")
    if analysis.experts and precision:
        del wanted["kld_mean"], wanted["kld_long"]
    wrong = []
    for name, (value, allowed) in wanted.items():
        says = reported.metrics[name].value
        sentence = f"{name}: the evaluation says {says:.9g}, the oracle {value:.9g}; rounding explains {allowed:.2g}"
        print(f"{root.name}: {sentence}")
        if not abs(says - value) <= allowed + 1e-12:
            wrong.append(sentence)
    if wrong:
        raise AssertionError("; ".join(wrong))


def check_ids(case: Case, folder: Path, reported: Evaluation, cut: Cut) -> None:
    """Fail unless the reference's ids are those of the tokenizer's own library, and the artifact's share is right.

    cut: cuts a text as the artifact does, by the oracle.
    """
    root = folder / case.arch
    cases = read_part(root / "reference" / "output", "parity.json", ParityTexts).cases
    check_source_ids(root, "tokenizer.json", cut_by_file(root / "snapshot"))
    share = float(np.mean([list(cut(one.text)) == list(one.token_ids) for one in cases]))
    if (says := reported.metrics["tokenizer_parity"].value) != share:
        raise AssertionError(f"tokenizer_parity: the evaluation says {says}, the oracle {share}")


def check_source_ids(root: Path, file: str, cut: Cut) -> None:
    """Fail unless the reference's ids of all texts are those that a tokenizer's own library gives by its file."""
    cases = read_part(root / "reference" / "output", "parity.json", ParityTexts).cases
    if other := [one.name for one in cases if list(cut(one.text)) != list(one.token_ids)]:
        raise AssertionError(f"the reference's ids of {other[:3]} are not those of {file}")
