"""Says in a clause where a parity was lost, for the verdict: the report's notes are not in logs, tables and MLflow."""

from collections.abc import Mapping, Sequence

from tasks.checkpoint.reasons import reason
from tasks.evaluation.parity import Cut


def parity_causes(cuts: Sequence[Cut], notes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return a clause for each parity that is not whole, by metric: how many texts, or the first mismatch.

    cuts: how the artifact cuts the parity texts. notes: sentences on the mismatches of every other parity, by metric.
    """
    causes = {metric: clause(found[0]) for metric, found in notes.items() if found}
    counted = [cut for cut in cuts if not cut.ambiguous]
    for metric, texts, differing in (
        # A mismatch that a normalization explains says less than another one.
        ("tokenizer_parity", cuts, sorted((cut for cut in cuts if not cut.same), key=lambda cut: cut.normalized)),
        ("tokenizer_parity_nfc", counted, [cut for cut in counted if not cut.normalized]),
    ):
        if differing:
            causes[metric] = f"{len(differing):,} of {len(texts):,} texts, the first {differing[0].case.name!r}"
    return causes


def clause(sentence: str) -> str:
    """Return a sentence of the notes as a short clause, for the middle of a line."""
    said = reason(sentence.removeprefix("Ends: ")).removesuffix(".")
    return f"{said[:1].lower()}{said[1:]}"
