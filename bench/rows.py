"""What is measured: the rows of the table, whose turn it is, and how often."""

from collections.abc import Sequence
from dataclasses import dataclass

OURS, BY_HAND, NAIVE = "ours", "by hand", "naive"
EMPTY = ("release", "early")
"""Rows of ours that begin with an empty store."""

SHORT, LONG = 5, 2
"""Repetitions of rows that take less, and more, than two minutes, all their sides together."""


@dataclass(frozen=True)
class Row:
    """A row: what it does in words, by which sides, how often. `release` rows need an empty stack each time."""

    name: str
    title: str
    sides: tuple[str, ...]
    repetitions: int
    release: bool = False


def rows(targets: Sequence[str]) -> list[Row]:
    """Return all rows for a recipe's targets; the short ones find what the whole release has left."""
    types = [target for target in targets if target.startswith("gguf-")]
    both = (OURS, BY_HAND)
    return [
        Row("release", "the whole release", both, LONG, release=True),
        Row("again", "the unchanged release again", (OURS,), LONG, release=True),
        Row(
            "early", "the whole release, each comparison ending when its gates are decided", (OURS,), LONG, release=True
        ),
        Row("floor", "Airflow alone: the release's graph with tasks that do nothing", (OURS,), LONG, release=True),
        Row("fetch", "fetch and verify", both, SHORT),
        Row("gguf-one", "one GGUF type (Q4_K_M; its bases already exist)", both, SHORT),
        Row("onnx", "ONNX fp32 and int8", both, LONG),
        Row("gguf-all", f"all GGUF types ({len(types)}, and the importance matrix)", both, LONG),
        Row("evaluate-one", "evaluation of one artifact (Q4_K_M)", both, SHORT),
        Row("evaluate-all", f"evaluation of all {len(targets)} artifacts, and the reference", both, LONG),
        Row("overhead", "the engine's forward pass alone, then with the comparison of every row", (OURS,), LONG),
        Row("naive", "nothing shared: every target starts from the source", (NAIVE,), 1, release=True),
    ]


def steps(row: str, targets: Sequence[str]) -> list[str]:
    """Return the steps of a short row, by the names that `ours` and the script share."""
    types = [target for target in targets if target.startswith("gguf-")]
    return {
        "fetch": ["fetch"],
        "gguf-one": ["convert:gguf-q4_k_m"],
        "onnx": ["convert:onnx-fp32", "convert:onnx-int8"],
        "gguf-all": [f"convert:{name}" for name in ("gguf-f16", "gguf-imatrix", *types[1:])],
        "evaluate-one": ["evaluate:gguf-q4_k_m"],
        "evaluate-all": ["reference", *(f"evaluate:{target}" for target in targets)],
    }[row]
